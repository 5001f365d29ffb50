"""Preprocess: from the archives to training, validation and test arrays, and what they look like in figures.

Labelled production data join the training images, and never the others. The figures that normalise what the model sees
stay those of the data set alone: whoever sends labels must not move them.

Run by `dvc repro`, or alone: python -m stages.preprocess
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from digits import idx, production
from digits.dataset import CLASSES, IMAGE_SIZE, DataParams, Labelled, PreprocessParams, describe, split
from digits.errors import run
from digits.params import load
from digits.storage import write_arrays, write_json

RAW = Path("data/raw")
PRODUCTION = Path("data/production")
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
    archives = {path.name: checksum(path) for path in sorted(folder.glob("*.gz"))}
    statistics: dict[str, Any] = {"dataset": folder.name, "archives_md5": archives}
    statistics |= {path.stem: describe(part) for path, part in parts.items()}
    labelled = fresh(production.read(PRODUCTION), folder.name, parts[VALIDATION], test)
    if len(labelled.labels) and params.production_repeat:
        parts[TRAIN] = production.joined(parts[TRAIN], labelled, params.production_repeat)
        statistics |= {"production": describe(labelled) | {"repeat": params.production_repeat}}
    for path, part in parts.items():
        write_arrays(path, images=part.images, labels=part.labels)
    write_json(STATISTICS, statistics)


def fresh(exported: production.Production, dataset: str, *others: Labelled) -> Labelled:
    """What may be trained on of an export: images of this data set, none (nearly) a validation or test image."""
    count = len(exported.train.labels)
    if count and exported.dataset != dataset:
        print(f"{PRODUCTION}: {count} images of {exported.dataset} are left out, for this is {dataset}")
        return exported.train.take(np.array([], int))
    kept = production.without(exported.train, *others)
    if left_out := count - len(kept.labels):
        print(f"{PRODUCTION}: {left_out} of {count} images are validation or test images, or nearly, and left out")
    return kept


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
