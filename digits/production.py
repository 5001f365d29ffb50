"""Labelled production data: images of the running service whose true labels came in later.

`monitoring.feedback` exports them: a part to train on, a part to compare models on, and where both are from.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from digits.dataset import Labelled, labelled
from digits.errors import PipelineError
from digits.likeness import near
from digits.storage import FileError, read_arrays, read_json, write_arrays, write_json

TRAIN, HOLDOUT, PROVENANCE = "train.npz", "holdout.npz", "provenance.json"  # in one folder


class ProductionError(PipelineError):
    """Production data that are not what they should be."""


class Production(NamedTuple):
    """What one export holds."""

    dataset: str  # the one of params.yaml's `data` whose classes the labels are
    train: Labelled
    holdout: Labelled  # compares models, and is never trained on


def read(folder: Path) -> Production:
    """Read an export.

    Raises:
        ProductionError: a file is damaged or another one's, or an image is in both parts.
        DatasetError: images or labels are of a wrong form.
    """
    dataset = _dataset(folder / PROVENANCE)
    train, holdout = (_part(folder / name) for name in (TRAIN, HOLDOUT))
    if both := len(set(keys(train.images)) & set(keys(holdout.images))):
        raise ProductionError(f"{folder}: {both} images are in {TRAIN} and in {HOLDOUT}; {_restore(folder)}")
    return Production(dataset, train, holdout)


def write(folder: Path, production: Production, provenance: dict[str, object]) -> None:
    """Write an export: the same bytes for the same data. Each file is whole or as it was before."""
    write_arrays(folder / TRAIN, images=production.train.images, labels=production.train.labels)
    write_arrays(folder / HOLDOUT, images=production.holdout.images, labels=production.holdout.labels)
    write_json(folder / PROVENANCE, {"dataset": production.dataset} | provenance)


def keys(images: np.ndarray) -> list[bytes]:
    """The pixels of each image (N, H, W): equal for equal images."""
    return [image.tobytes() for image in images]


def without(data: Labelled, *others: Labelled) -> Labelled:
    """Those whose image is in none of the others, and nearly none of theirs: a changed pixel makes no new image."""
    left = np.ones(len(data.labels), bool)
    for other in others:
        left &= ~near(data.images, other.images)
    return data.take(np.flatnonzero(left))


def joined(data: Labelled, more: Labelled, repeat: int) -> Labelled:
    """`data`, and after them `more`, each so many times. Who looks at the first ones finds what was there before."""
    if not len(more.labels) * repeat:
        return data
    images = np.concatenate([data.images, *[more.images] * repeat])
    return Labelled(images, np.concatenate([data.labels, *[more.labels] * repeat]))


def _dataset(path: Path) -> str:
    try:
        provenance = read_json(path)
    except FileError:
        provenance = None
    if not isinstance(provenance, dict) or not isinstance(provenance.get("dataset"), str):
        raise ProductionError(f"{path}: not JSON that names its `dataset`; {_restore(path.parent)}")
    return str(provenance["dataset"])


def _part(path: Path) -> Labelled:
    try:
        images, labels = read_arrays(path, "images", "labels")
    except FileError:
        message = f"{path}: not an archive with the arrays images and labels; {_restore(path.parent)}"
        raise ProductionError(message) from None
    if images.dtype == labels.dtype == np.uint8 and images.shape[:1] == labels.shape == (0,):
        return Labelled(images, labels)  # of whatever size: there is nothing in it
    return labelled((images, labels), str(path))


def _restore(folder: Path) -> str:
    return f"restore it with `git checkout {folder}.dvc && dvc checkout --force {folder}`"
