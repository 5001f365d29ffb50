"""Gathers what the dashboard shows, from the prediction log and from monitoring's state.

What it costs is bounded: the database counts, at most MOST_READ predictions, and a few thousand are read.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from delivery.history import History, Window
from delivery.schema import SECOND
from digits.drift_reference import Reference
from digits.errors import PipelineError
from monitoring import confidence, dispatches
from monitoring.alerts import Track
from monitoring.figures import Answers, Class, Figures, Looked, OfLabels, Standing, Step, Tests, Told, Version
from monitoring.periods import Period, performance, total
from monitoring.result import Detector
from monitoring.served import Measured
from monitoring.settings import MonitoringParams
from monitoring.spans import SPANS
from monitoring.state import State
from monitoring.unusual import groups

References = Callable[[str], Reference | None]  # by version, see monitoring.references

MOST_READ = 500_000  # predictions
_SURE = 2000  # of each version, for the histogram of confidence
_VERSIONS, _ALERTS, _CHANGES = 8, 50, 50  # the newest


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where the figures come from."""

    history: History
    stage: str
    references: References
    params: MonitoringParams
    state: State  # the newest
    error: str = ""  # why there is no newer one
    watched: bool = False  # whether somebody looks again and again, or did once
    measured: Measured | None = None  # by a service, of its answers
    most_read: int = MOST_READ


def gather(sources: Sources, span: str, now: int) -> Figures:
    """All figures of the last so many minutes, hours or days.

    Args:
        sources: where they come from.
        span: one of SPANS.
        now: microseconds since 1970, UTC.
    """
    history, stage, state, measured = sources.history, sources.stage, sources.state, sources.measured
    period = SPANS[span].period * SECOND
    since = (now - SPANS[span].seconds * SECOND) // period * period
    # Not by stage, which is in no index: where stages share a log, the limit is one for all of them.
    beyond = history.time_of_newest(sources.most_read + 1, Window(since=since))
    read_since = since if beyond is None else beyond + 1
    window = Window(read_since, now + 1, stage=stage)
    periods = performance(history.counts(window, period))
    names = _newest(periods, state, round(sources.params.gap_seconds * SECOND))
    shown = names[:_VERSIONS]
    alerts = [one for one in state.alerts.alerts[::-1] if one.firing or (one.resolved or 0) >= since]
    note = dispatches.notes(stage)
    return Figures(
        stage=stage,
        span=span,
        now=now,
        since=since,
        read_since=read_since,
        period=period,
        newest=history.time_of_newest(1, Window(stage=stage)),
        looked=_looked(sources),
        thresholds=_thresholds(sources.params),
        edges=confidence.EDGES,
        versions=_versions(sources, shown, periods, window, now),
        others=len(names) - len(shown),
        steps=[Step.of(one) for one in periods if one.version in shown],
        changes=changes(periods),
        windows=[Tests.of(one) for one in state.windows if one.until >= since and one.version in shown],
        kept_since=state.windows[0].since if len(state.windows) >= sources.params.kept_windows else None,
        labels=[OfLabels.of(one) for one in state.tests if one.time >= since and one.version in shown],
        alerts=[Told.of(one, note(one)) for one in alerts[:_ALERTS]],
        groups=groups(history, state, shown),
        answers=Answers(measured.since, measured.periods(since, now + 1, period)) if measured else None,
    )


def changes(periods: Iterable[Period]) -> list[tuple[int, str]]:
    """When versions began to answer: each time that one does which did not in the period with traffic before that.

    Args:
        periods: by their begin, as `performance` has them. What answers first is no change.
    """
    found, before, current, since = list[tuple[int, str]](), set[str](), set[str](), None
    for period in periods:
        if period.since != since:
            before, current, since = current, set(), period.since
        current.add(period.version)
        if period.version not in before:
            found.append((period.first, period.version))
    return sorted(found)[1:][-_CHANGES:]


def _newest(periods: Sequence[Period], state: State, gap: int) -> list[str]:
    """Versions that answered in the span or have not been replaced, those that answered last first."""
    last = {name: stream.newest for name, stream in state.streams.items() if not state.retired(name, gap)}
    for period in periods:
        last[period.version] = max(last.get(period.version, 0), period.last)
    return sorted(last, key=lambda name: (-last[name], name))


def _looked(sources: Sources) -> Looked:
    state, every = sources.state, sources.params.look_seconds if sources.watched else None
    error = sources.error or state.error
    return Looked(state.looked or None, error, state.until, state.late, state.late_labels, every)


def _thresholds(params: MonitoringParams) -> dict[str, float]:
    return {
        "warn": params.warn,
        "alert": params.alert,
        "cusum": params.cusum.threshold,
        "accuracy": params.accuracy.at_least,
        "accuracy_window": params.accuracy.window,
        "label_window": params.label_window,
        "smallest_window": params.smallest_window,
    }


def _versions(
    sources: Sources, shown: Sequence[str], periods: Sequence[Period], window: Window, now: int
) -> list[Version]:
    state, gap = sources.state, round(sources.params.gap_seconds * SECOND)
    totals = {period.version: period for period in total(periods)}
    found = []
    for name in shown:
        period = totals.get(name, Period.empty(name))
        reference, note = _reference(sources.references, name)
        rows = sources.history.latest(_SURE, dataclasses.replace(window, version=name)) if period.predictions else None
        stream, levels = state.streams.get(name), state.levels(name, now, gap)
        tracks, counted = (stream.tracks, stream.counted) if stream else ({}, {})
        found.append(
            Version(
                name=name,
                predictions=period.predictions,
                labelled=period.labelled,
                right=period.right,
                accuracy_95=period.interval,
                detectors={
                    key: Standing(levels[key], tracks.get(key, Track()).time, counted.get(key, 0)) for key in Detector
                },
                predicted=period.predicted.tolist(),
                classes=[Class.of(period, label) for label in range(len(period.predicted))],
                sure=[] if rows is None else confidence.of_answers(rows.probabilities).tolist(),
                reference=None if reference is None else reference.predicted.tolist(),
                reference_sure=None if reference is None else confidence.of_reference(reference).tolist(),
                note=note,
            )
        )
    return found


def _reference(references: References, version: str) -> tuple[Reference | None, str]:
    try:
        found = references(version)
    except PipelineError as error:
        return None, str(error)
    return found, "" if found else f"no reference of {version}; deploy the version with its reference.npz"
