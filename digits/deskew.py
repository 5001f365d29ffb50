"""Take the slant out of digits, so that the network need not learn every slant of every class.

LeCun et al. 1998, "Gradient-based learning applied to document recognition", section III, deslant by the second moments
of inertia: rows are shifted so that the principal axis is vertical.
"""

import torch
from torch import Tensor
from torch.nn import functional


def deskew(images: Tensor) -> Tensor:
    """Shear each image about its centre of mass until its rows and columns are uncorrelated.

    Args:
        images: light on dark, float (N, H, W), 0 or more; an empty image stays as it is.

    Returns:
        float (N, H, W); pixels are interpolated along their row, and what enters at the edge is zero.
    """
    height, width = images.shape[1], images.shape[2]
    # Coordinates from the centre, in pixels; floors keep empty and one-row images from dividing by zero.
    y = torch.arange(height, dtype=images.dtype, device=images.device) - (height - 1) / 2
    x = torch.arange(width, dtype=images.dtype, device=images.device) - (width - 1) / 2
    rows = images.sum(2)
    mass = rows.sum(1).clamp(min=1.0)
    centre_y = (rows @ y) / mass
    centre_x = (images.sum(1) @ x) / mass
    variance = (rows @ (y * y)) / mass - centre_y * centre_y
    covariance = ((images @ x) @ y) / mass - centre_y * centre_x
    slant = covariance / variance.clamp(min=1e-2)

    # Where each pixel comes from in its row; one column of zeros on either side stands for all that lies beyond.
    source = x + slant[:, None, None] * (y[None, :, None] - centre_y[:, None, None]) + (width + 1) / 2
    source = source.clamp(0, width + 1)
    left = source.floor().clamp(max=width)
    share = source - left
    padded = functional.pad(images, (1, 1))
    index = left.long()
    return padded.gather(2, index) * (1 - share) + padded.gather(2, index + 1) * share
