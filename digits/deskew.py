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
    rows, along = images.sum(2), images @ x
    mass = rows.sum(1).clamp(min=1.0)
    centre_y = (rows @ y) / mass
    variance = (rows @ (y * y)) / mass - centre_y * centre_y
    covariance = (along @ y) / mass - centre_y * along.sum(1) / mass
    slant = covariance / variance.clamp(min=1e-2)

    # A row moves as a whole: by a share of a pixel, which is an interpolation with its neighbour, and by whole pixels.
    offset = slant[:, None] * (y - centre_y[:, None])
    whole = offset.floor()
    padded = functional.pad(images, (2, 2))
    between = torch.lerp(padded[..., :-1], padded[..., 1:], (offset - whole).unsqueeze(2))
    # Column 0 and the last one are zero: they stand for all that lies beyond.
    columns = torch.arange(2, width + 2, device=images.device)
    return between.gather(2, (columns + whole.long().unsqueeze(2)).clamp(0, width + 2))
