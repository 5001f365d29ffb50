"""Batch normalisation over the images of all processes that train together, so that they compute what one would.

What torch has for that, SyncBatchNorm, works on GPUs alone. This one does on both, so that what runs there is what is
tested.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Normalises by mean and variance of the whole batch, of which each process has an equal part.

    Args:
        local: the layer whose weights and running statistics it takes on: the same tensors, not copies.
    """

    def __init__(self, local: nn.BatchNorm2d) -> None:
        super().__init__(local.num_features, local.eps, local.momentum)
        self.weight, self.bias = local.weight, local.bias
        self.running_mean, self.running_var = local.running_mean, local.running_var
        self.num_batches_tracked = local.num_batches_tracked

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as torch calls it
        """Of features (N, C, H, W), N images of this process; the running statistics are alike in all processes."""
        if not self.training:
            return super().forward(input)
        features = input.float()
        variance, mean = torch.var_mean(features, (0, 2, 3), correction=0)
        # Everybody's, by a sum, since that is a sum in the way back, too. From means and variances, not from sums of
        # squares, which would cost digits (Chan et al. 1983, "Algorithms for Computing the Sample Variance").
        everybody = features.new_zeros(dist.get_world_size(), 2, len(mean))
        everybody[dist.get_rank()] = torch.stack((mean, variance))
        means, variances = _Sum.apply(everybody).unbind(1)
        mean, variance = means.mean(0), variances.mean(0) + means.var(0, correction=0)
        self._remember(mean.detach(), variance.detach(), features.numel() // len(mean) * len(means))
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return torch.addcmul(shift[:, None, None], features, scale[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; what all of their losses say of it goes back to each."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor) -> Tensor:
        total = mine.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def normalise_together(model: nn.Module) -> None:
    """Replace each batch normalisation in `model` by one over all processes, with the same weights."""
    for name, layer in model.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            setattr(model, name, GlobalBatchNorm2d(layer))
        else:
            normalise_together(layer)
