"""Is the model right often enough? By labels, which come late and for a part of the predictions only."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import special

from delivery.history import UNKNOWN, Rows
from digits import scoring
from digits.dataset import CLASSES
from monitoring.result import MOST_UNUSUAL, Detector, Feature, Result


@dataclasses.dataclass(frozen=True)
class Period:
    """The predictions that one version made in one stretch of time; late labels count where their prediction does."""

    version: str
    since: int  # microseconds since 1970, UTC
    predictions: int
    confusion: np.ndarray  # int (classes, classes): true class, predicted class; of the labelled ones

    @property
    def labelled(self) -> int:
        """Predictions whose true label is known."""
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        """How many of these are right."""
        return int(np.trace(self.confusion))

    @property
    def coverage(self) -> float:
        """Share of predictions with a label."""
        return self.labelled / self.predictions

    @property
    def accuracy(self) -> float | None:
        """Share of labelled predictions that are right; None without labels."""
        return self.right / self.labelled if self.labelled else None

    @property
    def interval(self) -> scoring.Interval | None:
        """95 % interval of the accuracy (Wilson); None without labels."""
        return scoring.wilson_interval(self.right, self.labelled) if self.labelled else None

    @property
    def per_class(self) -> dict[str, dict[str, float | None]]:
        """Precision and recall of each class; None where no labelled prediction says anything about it."""
        hits = np.diag(self.confusion)
        predicted, actual = self.confusion.sum(0), self.confusion.sum(1)
        return {
            str(label): {
                "precision": float(hits[label] / predicted[label]) if predicted[label] else None,
                "recall": float(hits[label] / actual[label]) if actual[label] else None,
            }
            for label in range(len(hits))
        }


def performance(parts: Iterable[Rows], seconds: float) -> list[Period]:
    """Sort predictions into periods by the time when they were made, each version apart; empty ones are left out.

    Args:
        parts: as `History.predictions` yields them.
        seconds: length of a period; periods begin at multiples of it since 1970.
    """
    length = round(seconds * 1_000_000)
    counts: dict[tuple[int, str], int] = {}
    confusions: dict[tuple[int, str], np.ndarray] = {}
    for rows in parts:
        starts = rows.times // length * length
        versions = np.array(rows.versions)
        for start in np.unique(starts):
            for version in np.unique(versions[starts == start]):
                key = int(start), str(version)
                here = (starts == start) & (versions == version)
                known = here & (rows.truths != UNKNOWN)
                counts[key] = counts.get(key, 0) + int(here.sum())
                found = scoring.confusion_matrix(rows.truths[known], rows.labels[known], CLASSES)
                confusions[key] = confusions.get(key, 0) + found
    return [Period(key[1], key[0], counts[key], confusions[key]) for key in sorted(counts)]


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
    features = (Feature(f"class {label}", float(bad), _tail(bad, count, rate)) for label, bad, count in by_class)
    return Result(
        detector=Detector.ACCURACY,
        test="binomial test on labelled errors",
        statistic=float(errors),
        p_value=_tail(errors, total, rate),
        n=total,
        effect=1 - errors / total,
        effect_name="accuracy",
        features=tuple(sorted(features, key=lambda feature: feature.p_value)),
        images=tuple(images[:MOST_UNUSUAL]),
    )


def _tail(errors: int, total: int, rate: float) -> float:
    return float(special.bdtrc(errors - 1, total, rate)) if errors else 1.0
