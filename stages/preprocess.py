"""Preprocess: from the archives to training, validation and test arrays, and what they look like in figures.

Run by `dvc repro`, or alone: python -m stages.preprocess
"""

import hashlib
from pathlib import Path

from digits import idx
from digits.dataset import CLASSES, IMAGE_SIZE, DataParams, Labelled, PreprocessParams, describe, split
from digits.errors import run
from digits.params import load
from digits.storage import write_arrays, write_json

RAW = Path("data/raw")
TRAIN = Path("data/prepared/train.npz")
VALIDATION = Path("data/prepared/validation.npz")
TEST = Path("data/prepared/test.npz")
STATISTICS = Path("data/prepared/statistics.json")


def main() -> None:
    """Run the stage."""
    params = load(PreprocessParams, "preprocess")
    folder = RAW / load(DataParams, "data").dataset
    training = read(folder, "train")
    test = read(folder, "t10k")
    kept, held_out = split(training.labels, params.validation_size, params.seed)
    parts = {TRAIN: training.take(kept), VALIDATION: training.take(held_out), TEST: test}
    for path, part in parts.items():
        write_arrays(path, images=part.images, labels=part.labels)
    archives = {path.name: checksum(path) for path in sorted(folder.glob("*.gz"))}
    described = {path.stem: describe(part) for path, part in parts.items()}
    write_json(STATISTICS, {"dataset": folder.name, "archives_md5": archives} | described)


def read(folder: Path, part: str) -> Labelled:
    """Parse one part ("train" or "t10k") of a data set in MNIST's format.

    Raises:
        IdxError: an archive breaks the format.
    """
    names = f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"
    images, labels = ((folder / name).read_bytes() for name in names)
    paths = str(folder / names[0]), str(folder / names[1])
    return Labelled(*idx.parse_labelled(images, labels, paths, IMAGE_SIZE, CLASSES))


def checksum(path: Path) -> str:
    """MD5 of a file, as the data set's publishers and DVC state it."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    run(main)
