"""How many images of a window are more unusual than nearly all of the reference: few foreign images among many."""

import numpy as np
from scipy import special


def tail_count(reference: np.ndarray, window: np.ndarray, rank: int) -> int:
    """How many distances of the window (n,) are beyond the reference's `rank` largest; `reference` ascending."""
    return int((window > reference[-rank]).sum())


def p_value(count: int, window: int, reference: int, rank: int) -> float:
    """Probability of at least `count` of `window` values beyond the `rank` largest of `reference` ones.

    If all come from one distribution, each order of all of them is as probable, whatever the distribution, so the count
    is beta-binomial with parameters rank and reference - rank + 1: exact without ties, too large with them.

    Raises:
        ValueError: the rank is not one of the reference's.
    """
    if not 1 <= rank <= reference:
        raise ValueError(f"rank {rank} of {reference} reference values")
    if count == 0:
        return 1.0
    beyond = np.arange(count, window + 1)
    first, second = rank, reference - rank + 1
    ways = -special.betaln(beyond + 1, window - beyond + 1) - np.log(window + 1)
    terms = ways + special.betaln(beyond + first, window - beyond + second) - special.betaln(first, second)
    return float(min(1.0, np.exp(terms).sum()))
