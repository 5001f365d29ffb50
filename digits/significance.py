"""Is one classifier better than another on the same images, or is it chance? NumPy only."""

import math
from typing import NamedTuple

import numpy as np


class Paired(NamedTuple):
    """Two classifiers on the same images.

    `lost` counts the images that only the first had right, `gained` those that only the second had right. `p_value` is
    the probability of at least so uneven a split of the two, if both classifiers were equally good.
    """

    lost: int
    gained: int
    p_value: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> Paired:
    """Paired test on two classifiers (McNemar 1947), two-sided and exact, so that it is right for small counts too.

    Args:
        first: whether each image was classified right, bool (N,).
        second: the same for the other classifier and the same images.

    Raises:
        ValueError: the two are not about the same number of images.
    """
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape}: not the same images")
    lost, gained = int((first & ~second).sum()), int((~first & second).sum())
    return Paired(lost, gained, sign_test(lost, gained))


def sign_test(lost: int, gained: int) -> float:
    """Probability that `lost + gained` tosses of a fair coin fall at least as unevenly as this, to either side."""
    return min(1.0, 2 * _tail(min(lost, gained), lost + gained))


def loss_test(lost: int, gained: int) -> float:
    """One-sided: probability that of `lost + gained` tosses of a fair coin no more than `gained` are heads."""
    return min(1.0, _tail(gained, lost + gained))


def _tail(most: int, tosses: int) -> float:
    """Probability of at most so many heads."""
    # By logarithms: the coefficients themselves are beyond a float from about 1,030 tosses on.
    whole = math.lgamma(tosses + 1) - tosses * math.log(2)
    terms = (whole - math.lgamma(heads + 1) - math.lgamma(tosses - heads + 1) for heads in range(most + 1))
    return sum(map(math.exp, terms))
