"""Fetch: download the data set's four archives, verified by torchvision's MD5 sums.

Run by `dvc repro`, or alone: python -m stages.fetch
Mirrors named in MNIST_MIRRORS (addresses separated by spaces; file:// works too) are tried before torchvision's own.
"""

import errno
import hashlib
import os
import shutil
import urllib.request
from http.client import HTTPException
from pathlib import Path

from torchvision import datasets
from tqdm import tqdm

from digits.dataset import DataParams
from digits.errors import PipelineError, run
from digits.params import load
from digits.storage import replacing

RAW = Path("data/raw")
TIMEOUT = 30  # seconds without any byte
_CHUNK = 1 << 18
_OUR_FAULT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}  # another mirror would not help


class FetchError(PipelineError):
    """No mirror had the file as it should be."""


def main() -> None:
    """Run the stage."""
    dataset = getattr(datasets, load(DataParams, "data").dataset)
    folder = RAW / dataset.__name__
    mirrors = [*os.environ.get("MNIST_MIRRORS", "").split(), *dataset.mirrors]
    for name, md5 in dataset.resources:
        fetch(folder / name, md5, mirrors)
    # DVC keeps the folder between runs and records all of it: other data sets and a killed download's leftovers go.
    wanted = {folder, *(folder / name for name, _ in dataset.resources)}
    for other in {*RAW.iterdir(), *folder.iterdir()} - wanted:
        shutil.rmtree(other) if other.is_dir() else other.unlink()


def fetch(path: Path, md5: str, mirrors: list[str]) -> None:
    """Download one file from the first mirror that has it whole; do nothing if it is there and whole already.

    Raises:
        FetchError: what each mirror answered.
    """
    if path.exists() and hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == md5:
        return
    answers = []
    for mirror in mirrors:
        address = f"{mirror.rstrip('/')}/{path.name}"
        try:
            with replacing(path) as temporary:
                download(address, temporary, md5)
            return
        except (FetchError, OSError, HTTPException, ValueError) as error:
            if isinstance(error, OSError) and error.errno in _OUR_FAULT:
                raise
            answers.append(f"  {address}: {error}")
    raise FetchError(
        f"{path}: could not be fetched with MD5 {md5}. Tried:\n"
        + "\n".join(answers)
        + "\n  Name a mirror within reach in MNIST_MIRRORS, or restore the data from the DVC remote: dvc pull fetch"
    )


def download(address: str, path: Path, md5: str) -> None:
    """Copy `address` to `path`.

    Raises:
        FetchError: what came is shorter than announced, or has another checksum.
        OSError: the mirror can't be reached, or the file can't be written.
    """
    digest, received = hashlib.md5(usedforsecurity=False), 0
    # Any scheme will do: the checksum decides what is accepted.
    with urllib.request.urlopen(address, timeout=TIMEOUT) as answer, path.open("wb") as file:  # noqa: S310
        announced = int(answer.headers.get("Content-Length") or 0)
        # Without a terminal (in CI) there is no bar.
        name = address.rpartition("/")[2]
        with tqdm(total=announced or None, desc=name, unit="B", unit_scale=True, disable=None) as bar:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                bar.update(len(chunk))
    if announced and received != announced:
        raise FetchError(f"truncated: {received} of {announced} bytes")
    if digest.hexdigest() != md5:
        raise FetchError(f"wrong checksum: MD5 {digest.hexdigest()} of {received} bytes")


if __name__ == "__main__":
    run(main)
