"""Files that are whole or not there, and arrays whose files have the same bytes every time."""

import contextlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from digits.errors import PipelineError

# Level 1 packs MNIST to within a tenth of level 6's size in a quarter of its time.
_COMPRESSION_LEVEL = 1


class FileError(PipelineError):
    """A file does not hold what its name promises."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which takes its name once it has been written without an error.

    Whatever happens in between (an exception, a kill, a full disk), `path` holds the old file or none, never half of
    a new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name: what a killed process leaves behind, the next run replaces.
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        # A write that fails, for want of space say, does not tell to which file; opening one does.
        error.filename = error.filename or str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text whole or not at all, with Unix line ends on every system."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON whole or not at all. NaN and infinity are refused, since they are not JSON.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        FileError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileError(f"{path}: not valid JSON: {error}; run `dvc repro` to write it anew") from None


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write named arrays as a compressed .npz, without the time stamps that would change its bytes."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980-01-01, whatever the clock says
            archive.writestr(entry, buffer.getbuffer(), zipfile.ZIP_DEFLATED, _COMPRESSION_LEVEL)


def read_arrays(path: Path, *names: str) -> tuple[np.ndarray, ...]:
    """Read named arrays of a .npz. Pickled objects are refused, so that loading can't run code.

    Raises:
        FileError: the file is no .npz, is damaged, or lacks one of the arrays.
    """
    try:
        # Opened here, for NumPy leaves a damaged archive open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return tuple(archive[name] for name in names)
    except (ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(
            f"{path}: not an archive with the arrays {', '.join(names)} ({error}); "
            f"remove it, then restore it with `dvc checkout`, `dvc pull` or `dvc repro`"
        ) from None
