"""Is A better than B, or is it the seeds? Paired over seeds, exact for any number of them. NumPy only."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ENOUGH = 6  # pairs: with fewer no outcome at all has a p-value of 0.05 or less
_UNITS = (1e6, 1e5, 1e4, 1e3)  # parts of a metric: to so many it is rounded, or to fewer where memory would not do
_SUMS = 2e7  # different ones, by the number of pairs in them


class Comparison(NamedTuple):
    """Differences of pairs, first minus second.

    `p_value` is the probability of a mean at least so far from 0 if each difference could as well have had the other
    sign. `low` and `high` are the ends of the 95 % interval of the mean; without end where there are too few pairs.
    """

    mean: float
    low: float
    high: float
    p_value: float
    pairs: int


def compare(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Comparison:
    """Sign-flip test of paired differences (Fisher 1935), two-sided, with the interval that belongs to it.

    The interval's ends are means of subsets of the differences (Hartigan 1969, "Using subsample values as typical
    values"): the true value lies between two neighbours of all 2**n - 1 of them with the same probability, 1 / 2**n.
    Neither enumerates them: accuracies are counts of images, so most subsets have the same sum as many others.

    Args:
        first: one value a seed, (n,).
        second: the same seeds, (n,).
        level: share of intervals that hold the true value.

    Raises:
        ValueError: not the same number of values, or none.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} values: not the same seeds")
    for unit in _UNITS:
        differences = np.rint((np.asarray(first) - np.asarray(second)) * unit).astype(np.int64)
        step = int(np.gcd.reduce(differences)) or 1
        if np.abs(differences).sum() / step * (len(differences) + 1) <= _SUMS:
            break
    count, total = len(differences), int(differences.sum())
    sizes, sums, shares = _subsets(differences // step)
    # Turning the signs of a subset takes its sum away twice. In whole numbers, so that equal means are equal.
    turned = np.abs(total // step - 2 * sums)
    p_value = float(shares[turned >= abs(total // step)].sum())
    mean = total / count / unit
    outside = math.floor((1 - level) / 2 * 2.0**count) / 2.0**count
    if outside == 0:
        return Comparison(mean, -math.inf, math.inf, min(1.0, p_value), count)
    some = sizes > 0
    means, weights = sums[some] * step / sizes[some] / unit, shares[some]
    low, high = (_at(means * sign, weights, outside) * sign for sign in (1, -1))
    return Comparison(mean, low, high, min(1.0, p_value), count)


def _subsets(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Size, sum and share of all subsets; those with the same size and sum are one entry."""
    lowest = int(differences[differences < 0].sum())
    width = int(np.abs(differences).sum()) + 1
    shares = np.zeros((len(differences) + 1, width))
    shares[0, -lowest] = 1.0
    for value in differences.tolist():
        with_it = np.zeros_like(shares)
        if value >= 0:
            with_it[1:, value:] = shares[:-1, : width - value]
        else:
            with_it[1:, :value] = shares[:-1, -value:]
        shares = (shares + with_it) / 2
    sizes, places = np.nonzero(shares)
    return sizes, places + lowest, shares[sizes, places]


def _at(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The smallest value that has at least `share` of the weight at or below it."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, share * (1 - 1e-12))])
