"""What is kept of a sweep in `sweeps/NAME`: sweep.json is what was asked for, a line of trials.jsonl how a trial ended.

A line is written by one call and is on the disk before the next trial is proposed. So a driver that is killed at any
time leaves at most one half-written line, at the end; that one is cut off, and its trial runs again.
"""

import errno
import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypedDict

from digits.errors import PipelineError
from digits.storage import read_json, write_json

SWEEPS = Path("sweeps")
DESCRIPTION, TRIALS, LOCK = "sweep.json", "trials.jsonl", ".lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")  # also of a file, and in a Git reference


class RecordsError(PipelineError):
    """A sweep that is not there, is in use, or whose records are none."""


class Record(TypedDict):
    """How a trial ended."""

    trial: str  # its number, five digits
    settings: dict[str, Any]  # for exactly the keys of the space
    state: Literal["finished", "stopped", "failed"]
    validation_accuracy: float | None  # last measured, six digits; of a finished one as in results/train/metrics.json
    validations: int  # how often it was measured
    curve: list[float]  # all that was measured
    loss: float | None  # mean since the record before, six digits; of a finished one as in results/train/metrics.json
    parameters: int | None
    seconds: float  # of training
    node: str
    device: str | None  # see `scaling.device`
    error: str | None


class Basis(TypedDict):
    """What all trials of a sweep have in common: where one of these differs, they can't be compared."""

    commit: str | None  # told, not compared: another one may have changed a text
    code: str  # SHA-256 of what trials depend on, see `nodes.digest`; also of what is not committed
    data: dict[str, str]  # MD5 sums of what trials read
    params: dict[str, dict[str, Any]]  # `model` and `train`, for what the space leaves alone
    versions: dict[str, str]


class Description(Basis):
    """What a sweep is."""

    space: dict[str, Any]
    trials: int  # asked for
    seed: int  # of what is proposed
    keep: int


def folder(name: str) -> Path:
    """Where a sweep of that name is kept.

    Raises:
        RecordsError: it can't be a name.
    """
    if not _NAME.fullmatch(name) or name.endswith(".lock"):
        raise RecordsError(f"{name!r} can't be the name of a sweep: letters, digits, `_`, `-` and single dots")
    return SWEEPS / name


def names() -> list[str]:
    """All sweeps, the latest last."""
    found = sorted(SWEEPS.glob(f"*/{DESCRIPTION}"), key=lambda path: path.stat().st_mtime)
    return [path.parent.name for path in found]


def description(name: str) -> Description:
    """What a sweep is.

    Raises:
        RecordsError: there is none of that name.
    """
    path = folder(name) / DESCRIPTION
    if not path.is_file():
        raise RecordsError(f"{path}: not found; the sweeps that are there: {', '.join(names()) or 'none'}")
    found: Description = read_json(path)
    return found


def read(name: str) -> list[Record]:
    """The trials of a sweep that have ended, in that order, each once.

    Raises:
        RecordsError: there is no such sweep, or a line is no record.
    """
    description(name)
    return [record for record, _ in _lines(folder(name) / TRIALS)]


class Journal:
    """The records of one sweep, open for the driver."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = list(_lines(path))
        self.records = [record for record, _ in lines]
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.truncate(self._file, sum(size for _, size in lines))
        self._seen = {record["trial"] for record in self.records}

    def append(self, record: Record) -> None:
        """Keep one record, for good.

        Raises:
            OSError: it can't be written; then nothing of it is there.
        """
        assert record["trial"] not in self._seen, "a trial counts once"
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        size = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) != len(line):  # the rest did not fit
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError as error:
            os.truncate(self._file, size)
            error.filename = str(self._path)
            raise
        self._seen.add(record["trial"])
        self.records.append(record)

    def close(self) -> None:
        """Nothing is written any more."""
        os.close(self._file)


@contextmanager
def begin(name: str, wanted: Description) -> Iterator[Journal]:
    """Start a sweep, or go on with one, as its only driver.

    Raises:
        RecordsError: another process is at it, or it is there and was asked for otherwise.
    """
    place = folder(name)
    place.mkdir(parents=True, exist_ok=True)
    with (place / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecordsError(f"{place}: another process is running this sweep; give this one another NAME=") from None
        write_json(place / DESCRIPTION, wanted)
        journal = Journal(place / TRIALS)
        try:
            yield journal
        finally:
            journal.close()


def _lines(path: Path) -> Iterator[tuple[Record, int]]:
    """Each whole line's record, and its length in bytes."""
    seen: set[str] = set()
    content = path.read_bytes() if path.exists() else b""
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            return
        try:
            record: Record = json.loads(line)
            if record.keys() != Record.__annotations__.keys() or record["trial"] in seen:
                raise ValueError
        except (ValueError, AttributeError):
            raise RecordsError(
                f"{path}: line {number} is no record of a trial as this version writes them, or its second; "
                f"remove the line, or begin a new sweep"
            ) from None
        seen.add(record["trial"])
        yield record, len(line)
