"""Ways in which images can change between training and use, to try detectors on."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage


class Shift(NamedTuple):
    """One way: from uint8 (N, H, W) to the same, with a generator for those that toss coins."""

    words: str
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray]

    def __call__(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The images, changed."""
        return self.change(images, generator)


def rotated(images: np.ndarray, degrees: float) -> np.ndarray:
    """Turned about the middle, anticlockwise, by linear interpolation."""
    return _whole(ndimage.rotate(images.astype(np.float32), degrees, axes=(2, 1), reshape=False, order=1))


def moved(images: np.ndarray, pixels: int) -> np.ndarray:
    """To the right; what leaves is lost, what enters is black."""
    result = np.zeros_like(images)
    result[:, :, pixels:] = images[:, :, :-pixels]
    return result


def _noisy(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return _whole(images + generator.normal(0, 0.1 * 255, images.shape).astype(np.float32))


def _blurred(images: np.ndarray, _generator: np.random.Generator) -> np.ndarray:
    return _whole(ndimage.gaussian_filter(images.astype(np.float32), 1, axes=(1, 2)))


def _whole(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(pixels), 0, 255), np.uint8)


SHIFTS = {
    "noise": Shift("Gaussian noise, a tenth of the range of pixels", _noisy),
    "rotate10": Shift("turned by 10 degrees", lambda images, _: rotated(images, 10)),
    "rotate20": Shift("turned by 20 degrees", lambda images, _: rotated(images, 20)),
    "rotate30": Shift("turned by 30 degrees", lambda images, _: rotated(images, 30)),
    "shift2": Shift("moved by 2 pixels to the right", lambda images, _: moved(images, 2)),
    "blur": Shift("blurred, a Gaussian of one pixel", _blurred),
    "dim": Shift("pixels times 0.7", lambda images, _: _whole(images * np.float32(0.7))),
    "bright": Shift("a tenth of the range of pixels added", lambda images, _: _whole(images + np.float32(0.1 * 255))),
    "invert": Shift("dark on light", lambda images, _: 255 - images),
}
