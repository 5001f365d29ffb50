"""The two-sample Kolmogorov-Smirnov test of many features at once, against a reference that is sorted already."""

from typing import NamedTuple

import numpy as np
from scipy import special


class Distances(NamedTuple):
    """Largest distance between the two distribution functions of each feature, and to which side."""

    statistics: np.ndarray  # float64 (F,), 0 to 1
    signs: np.ndarray  # int (F,): 1 where the window's values are higher than the reference's, else -1


def distances(reference: np.ndarray, window: np.ndarray) -> Distances:
    """Kolmogorov-Smirnov statistics, exact, with ties too.

    Args:
        reference: (F, M), each row ascending.
        window: (F, n), in any order.
    """
    size, count = reference.shape[1], window.shape[1]
    ordered = np.sort(window, axis=1)
    below, upto = np.empty(ordered.shape), np.empty(ordered.shape)
    for row, (known, values) in enumerate(zip(reference, ordered, strict=True)):
        below[row] = known.searchsorted(values, "left")
        upto[row] = known.searchsorted(values, "right")
    steps = np.arange(count + 1) / count
    # The window's function jumps at its values: it is farthest above the reference's at such a value, and farthest
    # below just before one. Of equal values, the last or the first counts right, the others give less.
    lower = (steps[1:] - upto / size).max(1)
    higher = (below / size - steps[:-1]).max(1)
    return Distances(np.maximum(lower, higher), np.where(higher > lower, 1, -1))


def p_values(statistics: np.ndarray, reference: int, window: int) -> np.ndarray:
    """Probability of at least such a distance between samples of one distribution, two-sided.

    Kolmogorov's limit with Stephens' correction (1970, "Use of the Kolmogorov-Smirnov ... statistics", for one sample,
    by the effective size of two): for 5,000 against 50 to 1,000, from 0.5 down to 1e-6, they are at most 7 % smaller
    and at most 15 % larger than the exact ones. With ties the true probability is smaller: a test keeps its level.
    """
    root = np.sqrt(reference * window / (reference + window))
    return np.asarray(special.kolmogorov((root + 0.12 + 0.11 / root) * statistics))
