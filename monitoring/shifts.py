"""Ways in which images can change between training and use, to try detectors on."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


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


# By name: uint8 (N, H, W) to the same, with a generator for those that toss coins.
SHIFTS: dict[str, Change] = {
    "noise": _noisy,  # Gaussian, a tenth of the range of pixels
    "rotate10": lambda images, _: rotated(images, 10),
    "rotate20": lambda images, _: rotated(images, 20),
    "rotate30": lambda images, _: rotated(images, 30),
    "shift2": lambda images, _: moved(images, 2),
    "blur": _blurred,  # Gaussian, of one pixel
    "dim": lambda images, _: _whole(images * np.float32(0.7)),
    "bright": lambda images, _: _whole(images + np.float32(0.1 * 255)),
    "invert": lambda images, _: 255 - images,
}
