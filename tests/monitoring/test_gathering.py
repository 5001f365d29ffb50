"""The dashboard's figures, held against the log itself."""

import dataclasses

import numpy as np
import pytest

from delivery.history import History, Window
from delivery.schema import SECOND
from digits import scoring
from monitoring import dispatches
from monitoring.dispatches import Dispatch, Dispatches
from monitoring.due import Key
from monitoring.gathering import Sources, changes, gather
from monitoring.references import References
from monitoring.shifts import moved
from monitoring.spans import SPANS
from tests.monitoring.logged import HOUR, START
from tests.monitoring.traffic import REFERENCE

MINUTE = 60 * SECOND


def sources(logged, **changed):
    history = History(logged.log.engine)
    return Sources(history, "staging", logged.known.get, logged.params, logged.state, **changed)


def figures(logged, span="1h", **changed):
    return gather(sources(logged, **changed), span, logged.now)


def shifted(images, probabilities):
    return moved(images, 3), probabilities


@pytest.fixture
def told(logged):
    """Two versions one after the other, the second of which begins to see other images; a part is labelled."""
    for _ in range(10):
        logged.label(logged.predict(120, "v1")[:40], errors=1)
        logged.look(100)
    for minute in range(12):
        ids = logged.predict(110, "v2", change=shifted if minute > 7 else None)
        logged.label(ids[:50], errors=12 if minute > 7 else 0)
        logged.look(100)
    return figures(logged)


def test_every_figure_is_what_the_log_says(logged, told):
    (rows,) = History(logged.log.engine).predictions(Window(since=told.since), part=10_000)
    versions = np.array(rows.versions)
    assert [version.name for version in told.versions] == ["v2", "v1"]
    for version in told.versions:
        own = versions == version.name
        known = own & (rows.truths >= 0)
        right = int((rows.truths[known] == rows.labels[known]).sum())
        assert (version.predictions, version.labelled, version.right) == (own.sum(), known.sum(), right)
        assert version.accuracy_95 == scoring.wilson_interval(right, int(known.sum()))
        assert version.predicted == np.bincount(rows.labels[own], minlength=10).tolist()
        assert version.reference == REFERENCE.predicted.tolist()
        assert sum(version.sure) == min(2000, own.sum())
        for label, found in enumerate(version.classes):
            truths, labels = rows.truths[known], rows.labels[known]
            hits = int(((truths == label) & (labels == label)).sum())
            assert (found.actual, found.predicted, found.right) == (
                (truths == label).sum(),
                (labels == label).sum(),
                hits,
            )
            assert found.recall_95 == scoring.wilson_interval(hits, found.actual)
            assert found.precision_95 == scoring.wilson_interval(hits, found.predicted)
    assert sum(step.predictions for step in told.steps) == len(rows)
    for step in told.steps:
        assert step.since % told.period == 0
        own = (versions == step.version) & (rows.times >= step.since) & (rows.times < step.since + told.period)
        assert step.predictions == own.sum()
        assert step.labelled == (own & (rows.truths >= 0)).sum()
        assert step.predicted == np.bincount(rows.labels[own], minlength=10).tolist()


def test_windows_tests_of_labels_and_alerts_are_the_state_s(logged, told):
    assert len(told.windows) == len(logged.state.windows) == 25
    window, judged = told.windows[-1], logged.state.windows[-1]
    assert window.p_values["data drift"] == judged.results[0].p_value < 1e-3
    assert set(window.p_values) == {"data drift", "softmax outputs", "image statistics", "tail count"}
    assert any("label shift" in window.p_values for window in told.windows)
    assert {test.detector for test in told.labels} == {"concept drift", "accuracy"}
    last = logged.state.tests[-1]
    assert (told.labels[-1].time, told.labels[-1].statistic) == (last.time, last.result.statistic)
    assert [alert.number for alert in told.alerts] == [alert.number for alert in logged.state.alerts.alerts[::-1]]
    assert {alert.detector for alert in told.alerts} >= {"data drift", "concept drift"}
    assert all(alert.resolved is None for alert in told.alerts)
    levels = {
        version.name: {detector.value: standing.level.value for detector, standing in version.detectors.items()}
        for version in told.versions
    }
    assert set(levels["v1"].values()) == {"ok"}
    assert (levels["v2"]["data drift"], levels["v2"]["label shift"]) == ("alert", "ok")


def test_an_alert_says_what_came_of_the_retraining_that_it_started(logged, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked, other, *_ = logged.state.alerts.alerts
    started = Dispatch((Key.of(asked),), "why", START, "feedback/1", "c" * 40, True, "failure", "worse")
    dispatches.write(dispatches.path("staging"), Dispatches(dispatches=(started,)))
    said = {alert.number: alert.text for alert in figures(logged).alerts}
    assert said[asked.number] == f"{asked}; retraining with feedback/1: not proposed, worse"
    assert said[other.number] == str(other)


def test_the_first_prediction_of_a_version_is_its_mark(logged, told):
    (rows,) = History(logged.log.engine).predictions(Window(version="v2"), part=10_000)
    assert told.changes == [(rows.times.min(), "v2")]


def test_a_version_that_comes_back_is_marked_again_and_one_that_goes_on_is_not(logged):
    for version in ("v1", "v1", "v2", "v1", "v2"):
        logged.predict(10, version)
        logged.now += MINUTE
    logged.predict(10, "v2")
    found = figures(logged).changes
    assert [version for _, version in found] == ["v2", "v1", "v2"]
    assert changes([]) == []


def test_an_empty_log_is_told_as_that(logged):
    told = figures(logged)
    assert (told.newest, told.versions, told.steps, told.windows, told.alerts, told.groups) == (
        None,
        [],
        [],
        [],
        [],
        [],
    )
    assert told.looked.time is None
    assert told.answers is None


def test_without_labels_nobody_knows_and_too_little_data_is_its_own_state(logged):
    logged.predict(300)
    logged.look()
    (version,) = figures(logged).versions
    assert (version.labelled, version.accuracy_95) == (0, None)
    assert {entry.precision_95 for entry in version.classes} == {None}
    assert figures(logged).steps[0].recall == [None] * 10
    levels = [standing.level.value for standing in version.detectors.values()]
    assert levels == ["ok", "too little data", "too little data", "too little data"]
    assert [standing.counted for standing in version.detectors.values()] == [0, 300, 0, 0]
    assert (figures(logged).thresholds["label_window"], figures(logged).thresholds["accuracy_window"]) == (1000, 200)
    logged.now += 2 * HOUR
    late = figures(logged)
    assert (late.versions[0].predictions, late.versions[0].sure) == (0, [])
    assert {standing.level.value for standing in late.versions[0].detectors.values()} == {"too little data"}
    assert late.newest == START + 299


def test_of_many_versions_the_newest_are_shown_and_the_others_counted(logged):
    for number in range(11):
        logged.known[f"v{number}"] = REFERENCE
        logged.predict(5, f"v{number}")
    told = figures(logged)
    assert [version.name for version in told.versions] == [f"v{number}" for number in range(10, 2, -1)]
    assert told.others == 3
    assert {step.version for step in told.steps} == {version.name for version in told.versions}


@pytest.mark.parametrize("span", SPANS)
def test_a_span_has_no_more_than_so_many_periods_and_nothing_from_before_it(logged, span):
    logged.predict(10)
    logged.now += SPANS[span].seconds * SECOND + SPANS[span].period * SECOND
    logged.predict(7)
    told = figures(logged, span)
    assert sum(step.predictions for step in told.steps) == 7
    assert (told.now - told.since) / told.period <= 62
    assert told.since <= told.now - SPANS[span].seconds * SECOND


def test_a_log_that_is_too_long_is_read_from_where_it_is_not(logged):
    for _ in range(10):
        logged.predict(50)
        logged.now += 2 * MINUTE
    told = figures(logged, most_read=120)
    assert [step.predictions for step in told.steps] == [20, 50, 50]
    assert told.since < told.read_since < told.steps[0].since + told.period
    assert figures(logged, most_read=499).read_since > told.since
    assert figures(logged, most_read=500).read_since == told.since
    assert sum(step.predictions for step in figures(logged, "7d", most_read=120).steps) == 120


def test_that_older_windows_are_not_kept_and_retired_versions_not_shown(logged):
    logged.predict(300, "v1")
    logged.look()
    assert figures(logged).kept_since is None
    logged.params = dataclasses.replace(logged.params, kept_windows=2)
    logged.now += 3 * HOUR
    logged.predict(200, "v2")
    logged.look()
    told = figures(logged)
    assert told.kept_since == logged.state.windows[0].since
    assert [version.name for version in told.versions] == ["v2"]


def test_another_stage_s_predictions_are_not_told(logged):
    logged.predict(30)
    told = gather(dataclasses.replace(sources(logged), stage="production"), "1h", logged.now)
    assert (told.versions, told.newest) == ([], None)


@pytest.mark.parametrize("damage", [None, b"no reference"])
def test_a_reference_that_is_not_to_be_had_is_told_and_the_rest_shown(logged, tmp_path, damage):
    if damage:
        path = tmp_path / "versions/v1/reference.npz"
        path.parent.mkdir(parents=True)
        path.write_bytes(damage)
    logged.predict(30)
    told = gather(dataclasses.replace(sources(logged), references=References(tmp_path)), "1h", logged.now)
    (version,) = told.versions
    assert (version.reference, version.reference_sure, sum(version.sure)) == (None, None, 30)
    assert "reference.npz" in version.note
    assert (str(tmp_path) in version.note) == (damage is not None)


def test_how_monitoring_itself_is_comes_along(logged):
    state = dataclasses.replace(logged.state, looked=5, until=3, late=2, error="the log can't be read")
    logged.state = state
    looked = figures(logged, watched=True).looked
    assert (looked.time, looked.until, looked.late, looked.error) == (5, 3, 2, "the log can't be read")
    assert looked.every == logged.params.look_seconds
    assert figures(logged, error="the watcher ended").looked.error == "the watcher ended"
    assert figures(logged).looked.every is None
