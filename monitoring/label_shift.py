"""Are the classes as frequent as before? Only predicted ones are known at once, and they tell."""

from collections.abc import Sequence

import numpy as np
from scipy import special

from monitoring.result import Detector, Feature, Result


def label_shift(reference: np.ndarray, window: np.ndarray, positions: Sequence[int] = ()) -> Result:
    """Chi-squared test of homogeneity (Pearson 1900) of predicted classes.

    Args:
        reference: how often each class was predicted for the reference, int (classes,).
        window: the same for the window; a class that neither has counts for nothing.
        positions: carried along into the result.

    Raises:
        ValueError: one of the two is empty.
    """
    counts = np.stack([reference, window]).astype(np.float64)
    totals = counts.sum(1)
    if not totals.all():
        raise ValueError("no predictions to compare")
    names = np.flatnonzero(counts.sum(0))
    counts = counts[:, names]
    expected = totals[:, None] * counts.sum(0) / totals.sum()
    statistic = float((np.square(counts - expected) / expected).sum())
    freedom = len(names) - 1
    shares = counts / totals[:, None]
    # Standard normal under no shift: the deviation of one class in both samples against its pooled variance.
    pooled = counts.sum(0) / totals.sum()
    spread = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / totals).sum())
    scores = (shares[1] - shares[0]) / spread
    order = np.argsort(-np.abs(scores), kind="stable")
    return Result(
        detector=Detector.LABEL_SHIFT,
        test="chi-squared on predicted labels",
        statistic=statistic,
        p_value=float(special.chdtrc(freedom, statistic)) if freedom else 1.0,
        n=int(totals[1]),
        effect=float(np.abs(shares[1] - shares[0]).sum() / 2),
        effect_name="share of predictions in other classes",
        features=tuple(
            Feature(f"class {names[place]}", float(scores[place]), float(2 * special.ndtr(-abs(scores[place]))))
            for place in order
        ),
        positions=tuple(positions),
    )


def in_excess(result: Result) -> int | None:
    """The class whose share grew most, by its score; None if none grew."""
    grown = [feature for feature in result.features if feature.statistic > 0]
    return int(grown[0].name.rpartition(" ")[2]) if grown else None
