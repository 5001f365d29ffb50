"""Labelled images of senders that are honest or not, as an export has them before its guards."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from digits.params import load
from monitoring.labelled_images import Images
from monitoring.settings import FeedbackParams, MonitoringParams

_TEMPLATES = (180 * np.random.default_rng(1).integers(0, 2, (10, 7, 7), np.uint8)).repeat(4, 1).repeat(4, 2)
PARAMS = load(MonitoringParams, "monitoring", Path(__file__).parents[2] / "params.yaml").feedback


def params(**changes) -> FeedbackParams:
    return dataclasses.replace(PARAMS, **changes)


def sent(
    count: int,
    source: str | Sequence[str] = "ann",
    client: str | Sequence[str] = "home",
    *,
    wrong: float = 0,
    agreed: bool = False,
    broken: float = 0,
    seed: int = 0,
) -> Images:
    """Images of one sender, or of several in turns.

    Args:
        count: how many.
        source: who labelled them.
        client: from where.
        wrong: share of labels that are another class.
        agreed: which is always the next one.
        broken: share of images of which the model confidently says the class before.
        seed: another one, other images.
    """
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 10, count)
    images = generator.integers(0, 60, (count, 28, 28), np.uint8) + _TEMPLATES[truth]
    at = np.arange(count)
    labels = (truth + (at % 100 < 100 * wrong) * (1 if agreed else generator.integers(1, 10, count))) % 10
    predicted = (truth - (at * 7 % 100 < 100 * broken)) % 10
    sources, clients = ([name] if isinstance(name, str) else name for name in (source, client))
    return Images(
        pixels=images,
        labels=labels.astype(np.uint8),
        predicted=predicted.astype(np.uint8),
        confidence=np.full(count, 0.99),
        times=at.astype(np.int64) * 1_000_000,
        versions=np.full(count, "v0.1.0"),
        sources=np.array([sources[place % len(sources)] for place in at], str),
        clients=np.array([clients[place % len(clients)] for place in at], str),
    )


def together(*parts: Images) -> Images:
    names = [field.name for field in dataclasses.fields(Images)]
    return Images(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
