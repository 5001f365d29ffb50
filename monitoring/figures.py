"""What the dashboard is told: one stage in a span of time, each version apart.

All times are microseconds since 1970, UTC.
"""

import dataclasses

from digits.scoring import Interval, wilson_interval
from monitoring.alerts import Alert, Level
from monitoring.periods import Period
from monitoring.result import Detector
from monitoring.served import Served
from monitoring.state import Judged, Tested
from monitoring.unusual import Group


@dataclasses.dataclass(frozen=True)
class Class:
    """What is known of one class; None where no labelled prediction says anything about it."""

    predicted: int  # labelled predictions of it
    actual: int  # labelled predictions with this true label
    right: int
    precision_95: Interval | None
    recall_95: Interval | None

    @classmethod
    def of(cls, period: Period, label: int) -> "Class":
        """One class in a period."""
        confusion = period.confusion
        right, predicted, actual = confusion[label, label], confusion[:, label].sum(), confusion[label].sum()
        intervals = (wilson_interval(int(right), int(n)) if n else None for n in (predicted, actual))
        return cls(int(predicted), int(actual), int(right), *intervals)


@dataclasses.dataclass(frozen=True)
class Step:
    """One version in one period."""

    version: str
    since: int
    predictions: int
    labelled: int
    right: int
    accuracy_95: Interval | None
    predicted: list[int]  # by class
    precision: list[float | None]
    recall: list[float | None]

    @classmethod
    def of(cls, period: Period) -> "Step":
        """A period, for the page."""
        per_class = period.per_class.values()
        return cls(
            version=period.version,
            since=period.since,
            predictions=period.predictions,
            labelled=period.labelled,
            right=period.right,
            accuracy_95=period.interval,
            predicted=period.predicted.tolist(),
            precision=[figures["precision"] for figures in per_class],
            recall=[figures["recall"] for figures in per_class],
        )


@dataclasses.dataclass(frozen=True)
class Standing:
    """What a detector says now."""

    level: Level
    time: int  # of its newest result; 0 where there is none
    counted: int  # predictions or labels since then, of those that are counted until there are enough for a test


@dataclasses.dataclass(frozen=True)
class Version:
    """One version over the whole span."""

    name: str
    predictions: int
    labelled: int
    right: int
    accuracy_95: Interval | None
    detectors: dict[Detector, Standing]
    predicted: list[int]
    classes: list[Class]
    sure: list[int]  # of its newest predictions in the span, by `confidence.EDGES`
    reference: list[int] | None  # how often each class was predicted for the reference
    reference_sure: list[int] | None
    note: str  # why there is no reference


@dataclasses.dataclass(frozen=True)
class Tests:
    """P-values of one window."""

    version: str
    since: int
    until: int
    n: int
    end: str
    level: Level  # of data drift
    note: str
    p_values: dict[str, float | None]  # by test: the detectors' and those that data drift joins
    feature: str  # the most unusual one

    @classmethod
    def of(cls, window: Judged) -> "Tests":
        """A window, for the page."""
        p_values: dict[str, float | None] = {}
        for result in window.results:
            p_values[result.detector.value] = result.p_value
            p_values |= {part.test: part.p_value for part in result.parts}
        features = window.data_drift.features if window.data_drift else ()
        return cls(
            version=window.version,
            since=window.since,
            until=window.until,
            n=window.n,
            end=window.end.value,
            level=window.levels[Detector.DATA_DRIFT],
            note=window.note,
            p_values=p_values,
            feature=features[0].name if features else "",
        )


@dataclasses.dataclass(frozen=True)
class OfLabels:
    """What labels said at one time."""

    version: str
    time: int
    detector: Detector
    p_value: float | None
    statistic: float
    n: int
    effect: float

    @classmethod
    def of(cls, test: Tested) -> "OfLabels":
        """A test, for the page."""
        found = test.result
        return cls(test.version, test.time, found.detector, found.p_value, found.statistic, found.n, found.effect)


@dataclasses.dataclass(frozen=True)
class Told:
    """One alert."""

    number: int
    version: str
    detector: Detector
    since: int
    last: int
    resolved: int | None
    why: str
    text: str

    @classmethod
    def of(cls, alert: Alert, note: str) -> "Told":
        """An alert, for the page, with what came of it."""
        return cls(
            number=alert.number,
            version=alert.version,
            detector=alert.detector,
            since=alert.since,
            last=alert.last,
            resolved=alert.resolved,
            why=alert.why,
            text=f"{alert}; {note}" if note else str(alert),
        )


@dataclasses.dataclass(frozen=True)
class Looked:
    """How monitoring itself is."""

    time: int | None  # of the last look
    error: str  # why it, or the newest one, found nothing; else empty
    until: int | None  # it has judged what was predicted until then
    late: int  # predictions that were not judged, and labels that were not counted, for they came dated before that
    late_labels: int
    every: float | None  # seconds; None if nobody looks again and again


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a service measured of its own answers."""

    since: int | None
    periods: list[Served]


@dataclasses.dataclass(frozen=True)
class Figures:
    """All of it."""

    stage: str
    span: str
    now: int
    since: int  # begin of the span
    read_since: int  # later where the span has more predictions than are read
    period: int
    newest: int | None  # time of the stage's newest prediction, in the span or not
    looked: Looked
    thresholds: dict[str, float]
    edges: tuple[float, ...]
    versions: list[Version]  # that answered last first
    others: int  # versions that are left out
    steps: list[Step]
    changes: list[tuple[int, str]]  # when a version began to answer
    windows: list[Tests]
    kept_since: int | None  # older windows are not kept; None if all are
    labels: list[OfLabels]
    alerts: list[Told]  # newest first
    groups: list[Group]
    answers: Answers | None
