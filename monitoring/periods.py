"""How good the answers were over time, by labels, which come late and for a part of the predictions only."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from delivery.history import UNKNOWN, Count
from digits import scoring
from digits.dataset import CLASSES


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
