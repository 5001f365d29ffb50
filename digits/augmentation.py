"""Random changes to training images."""

import torch
from torch import Tensor
from torch.nn import functional


def draw_shifts(count: int, pixels: int, generator: torch.Generator) -> Tensor:
    """For each of `count` images one of the shifts by up to `pixels` in both directions, drawn uniformly.

    Args:
        count: number of images.
        pixels: largest shift; with 0 nothing is drawn.
        generator: source of the random numbers, on the CPU.

    Returns:
        numbers of shifts for `shift`, int64 (count,), on the CPU.
    """
    if pixels == 0:
        return torch.zeros(count, dtype=torch.int64)
    return torch.randint(0, (2 * pixels + 1) ** 2, (count,), generator=generator)


def shift(images: Tensor, pixels: int, shifts: Tensor) -> Tensor:
    """Move each image; what enters at the edge is zero.

    Args:
        images: (N, H, W), any type.
        pixels: largest shift; 0 returns the images as they are.
        shifts: (N,), of `draw_shifts` with the same `pixels`.

    Returns:
        shifted images, (N, H, W), same type.
    """
    if pixels == 0:
        return images
    height, width = images.shape[1:]
    side = 2 * pixels + 1
    padded = functional.pad(images, (pixels,) * 4)
    chosen = shifts.to(images.device)
    shifted = torch.empty_like(images)
    # One copy for each of the few possible shifts is far quicker than one for each image.
    for number in range(side * side):
        top, left = divmod(number, side)
        rows = chosen == number
        shifted[rows] = padded[rows, top : top + height, left : left + width]
    return shifted
