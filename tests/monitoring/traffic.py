"""Images with what a model might say of them, and a reference that belongs to them."""

import numpy as np

from digits.drift_reference import build
from monitoring.shifts import moved
from tests import synthetic


def answers(labels: np.ndarray, seed: int) -> np.ndarray:
    """Probabilities float32 (N, 10) of a model that is sure of `labels`, more or less."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1, (len(labels), 10))
    logits[np.arange(len(labels)), labels] += 8
    return (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)


# Shuffled, for as they come the classes take turns.
_ALL = synthetic.digits(6000).take(np.random.default_rng(0).permutation(6000))
_ANSWERS = answers(_ALL.labels, seed=0)
_HELD_OUT = 2000

REFERENCE = build(_ALL.images[:_HELD_OUT], _ANSWERS[:_HELD_OUT])
RANK = 20


def clean(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """So many images and their probabilities, drawn at random from those that the reference does not have."""
    drawn = _HELD_OUT + np.random.default_rng(seed).permutation(6000 - _HELD_OUT)[:count]
    return _ALL.images[drawn], _ANSWERS[drawn]


def shifted(images, probabilities):
    """Moved by three pixels; the answers stay."""
    return moved(images, 3), probabilities


def all_sevens(images, _probabilities):
    """The same images, each taken for a 7."""
    return images, answers(np.full(len(images), 7), seed=0)
