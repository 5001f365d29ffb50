"""The network: convolution blocks and one fully connected layer, over raw pixels.

Normalisation is part of the model, so that what is served can't differ from what was trained.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from digits.architecture import ModelParams
from digits.dataset import CLASSES
from digits.deskew import deskew

Directions = Callable[[Tensor, int], tuple[Tensor, Tensor]]  # see `principal_directions`

_ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


class DigitClassifier(nn.Module):
    """Raw pixels (N, 28, 28), 0 to 255, in; one score (logit) for each class, (N, 10), out.

    Args:
        params: the architecture.
        pixel_mean, pixel_std: of the training images; they are stored with the weights.
    """

    pixel_mean: Tensor
    pixel_std: Tensor
    temperature: Tensor

    def __init__(self, params: ModelParams, pixel_mean: float = 0.0, pixel_std: float = 255.0) -> None:
        super().__init__()
        self.params = params
        blocks: list[nn.Module] = []
        inputs = 1
        for channels, kernel, padding, pool in zip(
            params.channels, params.kernels, params.paddings, params.pools, strict=True
        ):
            blocks.append(nn.Conv2d(inputs, channels, kernel, padding=padding, bias=False))
            if pool > 1:
                blocks.append(nn.MaxPool2d(pool))
            blocks += [nn.BatchNorm2d(channels), _ACTIVATIONS[params.activation]()]
            inputs = channels
        self.blocks = nn.Sequential(*blocks)
        self.classify = nn.Linear(inputs * params.sides()[-1] ** 2, CLASSES)
        self.register_buffer("pixel_mean", torch.tensor(float(pixel_mean)))
        self.register_buffer("pixel_std", torch.tensor(float(pixel_std)))
        # Divides the scores, so that probabilities mean what they say: set after training, 1 until then.
        self.register_buffer("temperature", torch.tensor(1.0))

    def normalise(self, images: Tensor) -> Tensor:
        """What the first convolution sees: float32 (N, 28, 28), deskewed where that is chosen, then standardised."""
        pixels = images.float()
        if self.params.deskew:
            pixels = deskew(pixels)
        return (pixels - self.pixel_mean) / self.pixel_std

    def forward(self, images: Tensor) -> Tensor:
        """Scores, float32 (N, 10)."""
        return self.scores(self.normalise(images))

    def scores(self, pixels: Tensor) -> Tensor:
        """Scores, float32 (N, 10), of what `normalise` gave: training prepares whole epochs at once."""
        features = self.blocks(pixels.unsqueeze(1))
        # In the order in which channels-last keeps them: another one would cost a copy, and a slow way back.
        scores: Tensor = self.classify(features.permute(0, 2, 3, 1).flatten(1))
        return scores / self.temperature


class Probabilities(nn.Module):
    """What ships: raw pixels uint8 (N, 28, 28) in, class probabilities float32 (N, 10) out."""

    def __init__(self, classifier: DigitClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities, float32 (N, 10)."""
        return torch.softmax(self.classifier(images), dim=1)


def parameter_count(model: nn.Module) -> int:
    """Number of trained numbers, as torch counts them: normalisation constants and running statistics are none."""
    return sum(parameter.numel() for parameter in model.parameters())


def principal_directions(images: Tensor, kernel: int) -> tuple[Tensor, Tensor]:
    """Variances of the patches of images, weakest first, and the directions that have them, as columns.

    Args:
        images: normalised pixels, float (N, H, W).
        kernel: height and width of a patch.

    Returns:
        float64 (kernel^2,) and (kernel^2, kernel^2).
    """
    patches = functional.unfold(images.unsqueeze(1).double(), kernel).transpose(1, 2).reshape(-1, kernel * kernel)
    patches = patches - patches.mean(0)
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    return variances, directions


def whitening_filters(
    images: Tensor, count: int, kernel: int, ridge: float = 1e-2, find: Directions = principal_directions
) -> Tensor:
    """Filters that decorrelate the patches of natural input: a better start than random ones.

    Principal directions of the patches, each divided by its standard deviation, strongest first, then the same with
    the other sign, so that nothing is lost to the activation (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds",
    arXiv:2404.00498, section 3.2).

    Args:
        images: normalised pixels, float (N, H, W); some thousand are enough.
        count: number of filters.
        kernel: their height and width.
        ridge: added to the variances, so that directions without any are not blown up.
        find: `principal_directions`, which takes most of the time, or something that remembers what it came to.

    Returns:
        filters, float32 (count, 1, kernel, kernel), scaled to the spread of torch's default initialisation.
    """
    variances, directions = find(images, kernel)
    # An eigenvector's sign is arbitrary. Fix it, so that every LAPACK gives the same filters; the weights of the sum
    # are uneven, so that it is far from zero for symmetric and antisymmetric directions alike.
    weights = torch.arange(1, kernel * kernel + 1, dtype=torch.double).sqrt()
    directions = directions * torch.where(weights @ directions < 0, -1.0, 1.0)
    filters = (directions / (variances + ridge).sqrt()).T.flip(0)
    half = min((count + 1) // 2, len(filters))
    filters = torch.cat([filters[:half], -filters[:half]])
    filters = filters.repeat(-(-count // len(filters)), 1)[:count]
    spread = 1 / (3**0.5 * kernel)  # standard deviation of uniform(-1/sqrt(fan in), 1/sqrt(fan in)), fan in = kernel^2
    return (filters * spread / filters.std()).float().reshape(count, 1, kernel, kernel)
