"""Eight figures of an image that say how it was written and scanned, whatever digit it shows. NumPy only."""

import numpy as np

NAMES = (
    "mean",  # of the pixels, 0 to 255
    "std",
    "centroid x",  # of the ink, in pixels from the left edge
    "centroid y",  # from the upper edge
    "variance x",  # of the ink about its centroid: second central moments, in square pixels
    "variance y",
    "covariance xy",  # the slant
    "gradient energy",  # mean square of the differences of neighbours: sharpness, noise
)


def image_statistics(images: np.ndarray) -> np.ndarray:
    """The figures `NAMES` of each image; bit for bit the same on every machine.

    Args:
        images: uint8 (N, H, W). An image without ink has its centroid in the middle and no moments.

    Returns:
        float64 (N, 8).
    """
    count, height, width = images.shape
    y, x = (axis.ravel().astype(np.float64) for axis in np.mgrid[:height, :width])
    # Sums of whole numbers far below 2^53 are exact in any order, so BLAS may sum as it likes. What follows is single
    # operations on each entry.
    pixels = images.reshape(count, height * width).astype(np.float64)
    ink, by_x, by_y, by_xx, by_yy, by_xy = (pixels @ np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1)).T
    square = np.einsum("ij,ij->i", pixels, pixels)
    area = height * width
    some = np.maximum(ink, 1)
    wide = images.astype(np.int32)
    across, down = np.diff(wide, axis=2), np.diff(wide, axis=1)
    steps = np.square(across).sum((1, 2)) + np.square(down).sum((1, 2))
    return np.stack(
        [
            ink / area,
            np.sqrt(area * square - ink * ink) / area,
            np.where(ink > 0, by_x / some, (width - 1) / 2),
            np.where(ink > 0, by_y / some, (height - 1) / 2),
            (ink * by_xx - by_x * by_x) / (some * some),
            (ink * by_yy - by_y * by_y) / (some * some),
            (ink * by_xy - by_x * by_y) / (some * some),
            steps / (height * (width - 1) + (height - 1) * width),
        ],
        axis=1,
    )
