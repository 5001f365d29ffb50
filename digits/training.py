"""Training: a few passes over the data with SGD or AdamW, a warm-up and a decaying rate, all drawn from one seed."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from digits.architecture import ModelParams
from digits.augmentation import draw_shifts, shift
from digits.dataset import Labelled
from digits.distributed import ALONE, Team
from digits.errors import PipelineError
from digits.model import DigitClassifier, Directions, principal_directions, whitening_filters
from digits.recipe import TrainParams, schedule

_PART = 250  # images at once, where none of them is trained on: what they need stays in the processor's cache
_WATCHED = 1000  # validation images that are scored along the epoch; the last time it is all of them
_WHITENING_IMAGES = 2000
_LOG_EVERY = 20  # steps; more often costs time, and the curve gets no clearer


class DivergedError(PipelineError):
    """The loss is no finite number any more."""


class DeviceError(PipelineError):
    """The device that was asked for is not there."""


class Record(NamedTuple):
    """State of training after some steps."""

    step: int
    steps: int  # in all
    loss: float  # mean since the record before
    learning_rate: float
    validation_accuracy: float | None  # where it was measured


def select_device(name: str) -> torch.device:
    """The device called "cpu" or "cuda"; "auto" is CUDA where there is one.

    Raises:
        DeviceError: CUDA was asked for, and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("train.device: no CUDA device found; use `auto` or `cpu`")
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu"))


def build(
    model: ModelParams,
    train: TrainParams,
    images: Tensor,
    mean: float,
    std: float,
    *,
    find: Directions = principal_directions,
) -> DigitClassifier:
    """A new model, initialised from `train.seed`, and with `train.whitening` from the training images.

    Args:
        model: its shape.
        train: how it will be trained.
        images: uint8 (N, H, W), for training.
        mean: of their pixels.
        std: their standard deviation.
        find: see `whitening_filters`.
    """
    torch.manual_seed(train.seed)
    classifier = DigitClassifier(model, mean, std)
    if train.whitening:
        first = classifier.blocks[0]
        assert isinstance(first, nn.Conv2d)
        pixels = classifier.normalise(images[:_WHITENING_IMAGES])
        with torch.no_grad():
            first.weight.copy_(whitening_filters(pixels, first.out_channels, first.kernel_size[0], find=find))
    return classifier


def make_optimizer(model: DigitClassifier, params: TrainParams) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or AdamW. Biases and normalisation constants are not decayed."""
    last = model.classify.weight
    decayed = [p for p in model.parameters() if p.ndim > 1 and p is not last]
    others = [p for p in model.parameters() if p.ndim <= 1]
    rate, decay = params.learning_rate, params.weight_decay
    groups = [
        {"params": decayed, "weight_decay": decay, "lr": rate},
        {"params": [last], "weight_decay": decay, "lr": rate * params.classifier_rate},
        {"params": others, "weight_decay": 0.0, "lr": rate},
    ]
    if params.optimizer == "adamw":
        return torch.optim.AdamW(groups, betas=(params.momentum, 0.999), fused=True)
    return torch.optim.SGD(groups, momentum=params.momentum, nesterov=params.momentum > 0, fused=True)


def fit(
    model: DigitClassifier, train: Labelled, validation: Labelled, params: TrainParams, team: Team = ALONE
) -> Iterator[Record]:
    """Train `model` in place, each image once an epoch; yields a record every few steps and at the end.

    A last batch that would be smaller than the others is left out, for its batch statistics would be noisier. Of
    several processes each takes its part of every batch; the first one alone validates, and has the finished model.

    Raises:
        DivergedError: the loss became NaN or infinite.
        DeviceError: see `select_device`.
        TeamError: the processes differ in code, data, params or torch, or can't have equal parts of a batch.
    """
    team.agree(torch=torch.__version__, code=_code(), params=repr((model.params, params)).encode())
    statistics = repr((model.pixel_mean.item(), model.pixel_std.item())).encode()
    team.agree(images=train.images, labels=train.labels, statistics=statistics)
    device = select_device(params.device)
    # Channels last: on a CPU one channel of input is several times quicker that way.
    model.to(device).to(memory_format=torch.channels_last)
    images, labels = torch.from_numpy(train.images).to(device), torch.from_numpy(train.labels).long().to(device)
    held_out = prepare(model, torch.from_numpy(validation.images).to(device))
    truth = torch.from_numpy(validation.labels).to(device)
    every = max(1, len(truth) // _WATCHED)  # not the first ones: they might be of one class
    network = team.network(model)
    optimizer = make_optimizer(model, params)
    peaks = [group["lr"] for group in optimizer.param_groups]
    generator = torch.Generator().manual_seed(params.seed)
    batch = min(params.batch_size, len(images))
    part, batches = team.part(batch), len(images) // batch
    steps = batches * params.epochs
    validate_at = {
        steps * part // (params.validations * params.epochs)
        for part in range(1, params.validations * params.epochs + 1)
    }
    total, since = torch.zeros((), device=device), 0
    for step in range(steps):
        if step % batches == 0:
            model.train()
            # Drawn for all images, so that it does not depend on who takes which.
            order = torch.randperm(len(images), generator=generator)[: batches * batch]
            shifts = team.own(draw_shifts(len(order), params.shift, generator), batch)
            order = team.own(order, batch).to(device)
            # For the whole epoch at once, in parts: a tenth of what it costs batch by batch.
            pixels = torch.split(prepare(model, shift(images[order], params.shift, shifts)), part)
            targets = torch.split(labels[order], part)
        share = schedule(params, step / steps)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * share
        with torch.autocast(device.type, torch.bfloat16, enabled=params.precision == "bfloat16"):
            scores = network(pixels[step % batches])
        target = targets[step % batches]
        loss = functional.cross_entropy(scores.float(), target, label_smoothing=params.label_smoothing)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total, since = total + loss.detach(), since + 1
        done = step + 1
        if done in validate_at or done % _LOG_EVERY == 0:
            mean = team.mean(total).item() / since
            if not math.isfinite(mean):
                raise DivergedError(
                    f"the loss became {mean} at step {done} of {steps}; "
                    f"lower train.learning_rate ({params.learning_rate:g}) or lengthen train.warmup ({params.warmup:g})"
                )
            measured = None
            if done in validate_at and team.rank == 0:
                some = slice(None, None, 1 if done == steps else every)
                measured = _share(score(model, held_out[some]), truth[some])
            yield Record(done, steps, mean, params.learning_rate * share, measured)
            total, since = torch.zeros((), device=device), 0
    model.to("cpu").eval()


def _code() -> bytes:
    """Source of this package, on which the result depends."""
    return b"".join(path.name.encode() + path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))


@torch.no_grad()
def prepare(model: DigitClassifier, images: Tensor) -> Tensor:
    """What the first convolution sees, float32 (N, 28, 28), of raw images (N, 28, 28)."""
    return torch.cat([model.normalise(part) for part in torch.split(images, _PART)])


@torch.no_grad()
def score(model: DigitClassifier, pixels: Tensor) -> Tensor:
    """Scores (N, 10) of prepared pixels (N, 28, 28), in evaluation mode; the mode is put back."""
    training = model.training
    model.eval()
    scores = torch.cat([model.scores(part) for part in torch.split(pixels, _PART)])
    model.train(training)
    return scores


def accuracy(model: DigitClassifier, images: Tensor, labels: Tensor) -> float:
    """Share of raw images whose highest score is their label's, 0 to 1."""
    return _share(score(model, prepare(model, images)), labels)


def _share(scores: Tensor, labels: Tensor) -> float:
    return (scores.argmax(1) == labels).double().mean().item()


def calibrate(model: DigitClassifier, validation: Labelled) -> float:
    """Set the model's temperature to the one under which held-out images have the least cross-entropy.

    Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks") undoes what label smoothing does
    to the probabilities. Which class wins does not change.

    Returns:
        the temperature, between 0.05 and 20.
    """
    model.temperature.fill_(1.0)
    scores = score(model, prepare(model, torch.from_numpy(validation.images))).double()
    labels = torch.from_numpy(validation.labels).long()
    low, high = math.log(0.05), math.log(20.0)
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(40):  # the loss is convex in 1/T, so it has one minimum: golden-section search finds it
        left, right = high - golden * (high - low), low + golden * (high - low)
        losses = [functional.cross_entropy(scores / math.exp(t), labels).item() for t in (left, right)]
        low, high = (low, right) if losses[0] < losses[1] else (left, high)
    temperature = round(math.exp((low + high) / 2), 4)
    model.temperature.fill_(temperature)
    return temperature
