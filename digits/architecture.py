"""The shape of the network as section `model` of params.yaml states it. Does not import torch."""

import dataclasses
from typing import Annotated, Literal

from digits.dataset import IMAGE_SIZE
from digits.params import Range


@dataclasses.dataclass(frozen=True)
class ModelParams:
    """Section `model`: one entry a convolution in each list.

    A block is convolution (no bias), max-pooling, batch normalisation, activation. Pooling before normalisation
    leaves three quarters of the work away.
    """

    channels: tuple[Annotated[int, Range(at_least=1, at_most=256)], ...]
    kernels: tuple[Annotated[int, Range(at_least=1, at_most=IMAGE_SIZE)], ...]
    paddings: tuple[Annotated[int, Range(at_least=0, at_most=IMAGE_SIZE)], ...]
    pools: tuple[Annotated[int, Range(at_least=1, at_most=IMAGE_SIZE)], ...]
    activation: Literal["gelu", "relu", "silu"]
    deskew: bool  # take the slant out of each image first

    def __post_init__(self) -> None:
        lengths = {len(self.channels), len(self.kernels), len(self.paddings), len(self.pools)}
        if len(lengths) != 1:
            raise ValueError("channels, kernels, paddings and pools need one entry for each convolution")
        size = IMAGE_SIZE
        for index, side in enumerate(self.sides()):
            if side < 1:
                raise ValueError(
                    f"convolution {index + 1} has no pixel left: kernel {self.kernels[index]} and pool "
                    f"{self.pools[index]} on {size}x{size} pixels; use smaller kernels or pools, or more padding"
                )
            size = side

    def sides(self) -> list[int]:
        """Height (and width) in pixels of what each block puts out."""
        side, sides = IMAGE_SIZE, []
        for kernel, padding, pool in zip(self.kernels, self.paddings, self.pools, strict=True):
            side = (side + 2 * padding - kernel + 1) // pool
            sides.append(side)
        return sides
