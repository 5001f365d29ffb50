"""Random changes to training images."""

import torch
from torch import Tensor
from torch.nn import functional


def random_shift(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Move each image by up to `pixels` in both directions, drawn uniformly; what enters at the edge is zero.

    Args:
        images: (N, H, W), any type.
        pixels: largest shift; 0 returns the images as they are.
        generator: source of the random numbers, on the CPU.

    Returns:
        shifted images, (N, H, W), same type.
    """
    if pixels == 0:
        return images
    height, width = images.shape[1:]
    side = 2 * pixels + 1
    padded = functional.pad(images, (pixels,) * 4)
    chosen = torch.randint(0, side * side, (len(images),), generator=generator).to(images.device)
    shifted = torch.empty_like(images)
    # One copy for each of the few possible shifts is far quicker than one for each image.
    for shift in range(side * side):
        top, left = divmod(shift, side)
        rows = chosen == shift
        shifted[rows] = padded[rows, top : top + height, left : left + width]
    return shifted
