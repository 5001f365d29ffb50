"""Is the model right often enough? By labels, which come late and for a part of the predictions only."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import special

from delivery.history import UNKNOWN, Count
from digits import scoring
from digits.dataset import CLASSES
from monitoring.result import MOST_UNUSUAL, Detector, Feature, Result


@dataclasses.dataclass(frozen=True)
class Period:
    """The predictions that one version made in one stretch of time; late labels count where their prediction does."""

    version: str
    since: int  # microseconds since 1970, UTC
    predicted: np.ndarray  # int (classes,): how often each class was predicted
    confusion: np.ndarray  # int (classes, classes): true class, predicted class; of the labelled ones
    first: int  # time of its first prediction, and of its last
    last: int

    @classmethod
    def empty(cls, version: str) -> "Period":
        """One in which the version answered nothing."""
        return cls(version, 0, np.zeros(CLASSES, int), np.zeros((CLASSES, CLASSES), int), 0, 0)

    @property
    def predictions(self) -> int:
        """How many it has."""
        return int(self.predicted.sum())

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


def performance(counts: Iterable[Count]) -> list[Period]:
    """Put together what was counted, as `History.counts` has it: one period after the other, each version apart."""
    found: dict[tuple[int, str], list[Count]] = {}
    for count in counts:
        found.setdefault((count.since, count.version), []).append(count)
    return [_period(*key, found[key]) for key in sorted(found)]


def total(periods: Iterable[Period]) -> list[Period]:
    """The same periods taken together, each version apart."""
    by_version: dict[str, list[Period]] = {}
    for period in periods:
        by_version.setdefault(period.version, []).append(period)
    return [
        Period(
            version=version,
            since=min(part.since for part in parts),
            predicted=np.sum([part.predicted for part in parts], 0),
            confusion=np.sum([part.confusion for part in parts], 0),
            first=min(part.first for part in parts),
            last=max(part.last for part in parts),
        )
        for version, parts in by_version.items()
    ]


def _period(since: int, version: str, counts: Sequence[Count]) -> Period:
    predicted, confusion = np.zeros(CLASSES, int), np.zeros((CLASSES, CLASSES), int)
    for count in counts:
        predicted[count.label] += count.predictions
        if count.truth != UNKNOWN:
            confusion[count.truth, count.label] += count.predictions
    first, last = min(count.first for count in counts), max(count.last for count in counts)
    return Period(version, since, predicted, confusion, first, last)


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
