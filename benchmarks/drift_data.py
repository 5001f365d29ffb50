"""The test images, clean and shifted, as the model sees them: scored once, then only drawn from."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from digits import idx
from digits.dataset import labelled
from digits.drift_reference import Reference, sort
from digits.image_statistics import image_statistics
from digits.onnx_model import OnnxModel
from digits.storage import read_arrays
from monitoring.shifts import SHIFTS
from stages.evaluate import ONNX, TEST

FASHION = Path("data/raw/FashionMNIST")  # dvc repro -S data.dataset=FashionMNIST fetch
IMAGES = "t10k-images-idx3-ubyte.gz"
REFERENCE = 5000  # images


class Scored(NamedTuple):
    """Images, what the model says of them, and their statistics; N of each."""

    images: np.ndarray
    probabilities: np.ndarray
    statistics: np.ndarray
    labels: np.ndarray

    def take(self, places: np.ndarray) -> "Scored":
        """Those at `places`."""
        return Scored(*(array[places] for array in self))

    def replaced(self, count: int, other: "Scored") -> "Scored":
        """With the first `count` from `other`."""
        return Scored(*(np.concatenate([new[:count], old[count:]]) for new, old in zip(other, self, strict=True)))


def scored(model: OnnxModel, images: np.ndarray, labels: np.ndarray) -> Scored:
    """What is needed of images for all the detectors."""
    return Scored(images, model.probabilities(images), image_statistics(images), labels)


def everything(fashion: Path) -> dict[str, Scored]:
    """Test images `clean` and under each shift, in the same order, and `fashion`: Fashion-MNIST's test images.

    Args:
        fashion: folder with Fashion-MNIST's test images, t10k-images-idx3-ubyte.gz.
    """
    model = OnnxModel(ONNX, threads=2)
    test = labelled(read_arrays(TEST, "images", "labels"), str(TEST))
    generator = np.random.default_rng(0)
    found = {"clean": scored(model, *test)}
    for name, shift in SHIFTS.items():
        found[name] = scored(model, shift(test.images, generator), test.labels)
    foreign = idx.parse((fashion / IMAGES).read_bytes(), IMAGES, (None, 28, 28))
    return found | {"fashion": scored(model, foreign, test.labels)}


def drawn(clean: Scored, generator: np.random.Generator) -> tuple[Reference, np.ndarray]:
    """A reference from a random half of the test images, and the places of the others in random order."""
    order = generator.permutation(len(clean.labels))
    half = clean.take(order[:REFERENCE])
    return sort(half.statistics, half.probabilities), order[REFERENCE:]


class Trials(NamedTuple):
    """What a benchmark with references drawn anew works on."""

    data: dict[str, Scored]  # see `everything`
    generator: np.random.Generator
    references: list[tuple[Reference, np.ndarray]]  # see `drawn`


def trials(description: str | None, references: int, seed: int) -> Trials:
    """Read the command line, of which these are the defaults, and draw so many references."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=references)
    parser.add_argument("--fashion", type=Path, default=FASHION, help="folder with Fashion-MNIST's test images")
    arguments = parser.parse_args()
    data, generator = everything(arguments.fashion), np.random.default_rng(seed)
    return Trials(data, generator, [drawn(data["clean"], generator) for _ in range(arguments.references)])
