"""What the images are, and how they are split and described. Everything is seeded, so it comes out the same twice."""

import dataclasses
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from digits.errors import PipelineError
from digits.params import Range

IMAGE_SIZE = 28  # height and width in pixels
CLASSES = 10  # the digits, or Fashion-MNIST's and KMNIST's ten classes


class DatasetError(PipelineError):
    """Arrays that are no labelled images, or that can't be split as asked."""


@dataclasses.dataclass(frozen=True)
class DataParams:
    """Section `data`: which of torchvision's data sets in MNIST's format to fetch."""

    dataset: Literal["MNIST", "FashionMNIST", "KMNIST"]


@dataclasses.dataclass(frozen=True)
class PreprocessParams:
    """Section `preprocess`: how many training images are held out for validation, and the seed that draws them.

    `production_repeat` is how often each production image counts beside the training images; 0 leaves them out.
    """

    validation_size: Annotated[int, Range(at_least=CLASSES, at_most=30_000)]
    seed: Annotated[int, Range(at_least=0, below=2**32)]
    production_repeat: Annotated[int, Range(at_least=0, at_most=100)]


class Labelled(NamedTuple):
    """Images uint8 (N, IMAGE_SIZE, IMAGE_SIZE) and their labels uint8 (N,)."""

    images: np.ndarray
    labels: np.ndarray

    def take(self, positions: np.ndarray) -> "Labelled":
        """The examples at `positions`, in that order."""
        return Labelled(self.images[positions], self.labels[positions])


def labelled(arrays: tuple[np.ndarray, ...], name: str) -> Labelled:
    """Check that a pair of arrays is labelled images.

    Raises:
        DatasetError: type, shape or label range is wrong; `name` says which file.
    """
    images, labels = arrays
    if images.dtype != np.uint8 or images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE) or not len(images):
        raise DatasetError(
            f"{name}: images are {images.dtype} {images.shape}; expected uint8 (N, {IMAGE_SIZE}, {IMAGE_SIZE}), N > 0"
        )
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1] or labels.max() >= CLASSES:
        raise DatasetError(f"{name}: labels must be {len(images)} unsigned bytes from 0 to {CLASSES - 1}")
    return Labelled(images, labels)


def split(labels: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a stratified random part: each class has the same share in both parts, to within one example.

    Args:
        labels: class of each example, (N,).
        size: number of examples to draw.
        seed: the same seed draws the same examples.

    Returns:
        positions that stay and positions that were drawn, both ascending.

    Raises:
        DatasetError: there are not more than `size` examples.
    """
    if size >= len(labels):
        raise DatasetError(f"can't hold out {size} of {len(labels)} images: ask for fewer")
    counts = np.bincount(labels)
    exact = counts * (size / len(labels))
    quota = np.floor(exact).astype(int)
    # Largest remainders get the examples that rounding down left over; a stable sort settles ties the same way always.
    quota[np.argsort(quota - exact, kind="stable")[: size - quota.sum()]] += 1
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = np.zeros(len(labels), bool)
    for label, count in enumerate(quota):
        drawn[generator.permutation(np.flatnonzero(labels == label))[:count]] = True
    return np.flatnonzero(~drawn), np.flatnonzero(drawn)


def describe(data: Labelled) -> dict[str, Any]:
    """Number of images, count of each class, mean and standard deviation of the pixels (0 to 255)."""
    # Sums of integers are exact, so the figures do not depend on the order of summation.
    count = data.images.size
    mean = int(data.images.sum(dtype=np.int64)) / count
    variance = int(np.square(data.images, dtype=np.uint16).sum(dtype=np.int64)) / count - mean**2
    return {
        "images": len(data.labels),
        "classes": np.bincount(data.labels, minlength=CLASSES).tolist(),
        "pixel_mean": round(mean, 6),
        "pixel_std": round(variance**0.5, 6),
    }
