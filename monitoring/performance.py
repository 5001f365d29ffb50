"""Is the model right often enough? By labels, so many at a time."""

from collections.abc import Sequence

import numpy as np
from scipy import special

from monitoring.result import MOST_UNUSUAL, Detector, Feature, Result


def accuracy(truths: np.ndarray, wrong: np.ndarray, at_least: float, images: Sequence[str] = ()) -> Result:
    """Are there more errors than an accuracy of `at_least` explains? Exact binomial test, one-sided.

    Args:
        truths: true labels, int (n,).
        wrong: whether each was predicted wrongly, bool (n,).
        at_least: the accuracy that is asked for.
        images: ids of the wrong ones, newest first.
    """
    errors, total = int(wrong.sum()), len(wrong)
    by_class = [
        (label, int(wrong[truths == label].sum()), int((truths == label).sum())) for label in np.unique(truths).tolist()
    ]
    rate = 1 - at_least
    features = (Feature(f"class {label}", float(bad), chance(bad, count, rate)) for label, bad, count in by_class)
    return Result(
        detector=Detector.ACCURACY,
        test="binomial test on labelled errors",
        statistic=float(errors),
        p_value=chance(errors, total, rate),
        n=total,
        effect=1 - errors / total,
        effect_name="accuracy",
        features=tuple(sorted(features, key=lambda feature: feature.p_value)),
        images=tuple(images[:MOST_UNUSUAL]),
    )


def chance(errors: int, total: int, rate: float) -> float:
    """Probability of at least so many errors of `total` answers where each is wrong at this rate."""
    return float(special.bdtrc(errors - 1, total, rate)) if errors else 1.0
