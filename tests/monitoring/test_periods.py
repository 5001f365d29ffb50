import numpy as np
import pytest
from scipy import stats

from delivery.history import EVERYTHING, History, Window
from delivery.schema import SECOND
from monitoring.periods import performance, total
from tests.monitoring.logged import HOUR, START


def periods(logged, seconds=3600):
    return performance(History(logged.log.engine).counts(EVERYTHING, seconds * SECOND))


def test_late_labels_count_where_their_prediction_was_made(logged):
    ids = logged.predict(50)
    logged.now += 3 * HOUR
    logged.predict(20)
    logged.label(ids[:40], errors=4)
    first, second = periods(logged)
    assert (first.since, first.predictions, first.labelled, first.right) == (START, 50, 40, 36)
    assert (first.coverage, first.accuracy) == (0.8, 0.9)
    assert first.interval == pytest.approx(stats.binomtest(36, 40).proportion_ci(method="wilson"))
    assert (second.since, second.predictions, second.labelled) == (START + 3 * HOUR, 20, 0)
    assert (second.accuracy, second.interval) == (None, None)


def test_versions_are_apart_in_the_same_period(logged):
    logged.predict(10)
    logged.predict(20, "v2")
    logged.predict(5)
    assert [(period.version, period.predictions) for period in periods(logged)] == [("v1", 15), ("v2", 20)]


def test_what_the_database_counts_is_what_the_rows_say(logged):
    for others in (5, 10, 15):
        logged.label(logged.predict(40, "v1")[:25], errors=3)
        logged.predict(others, "v2")
        logged.now += HOUR
    found = {(period.since, period.version): period for period in periods(logged)}
    (rows,) = History(logged.log.engine).predictions()
    keys = list(zip((rows.times // HOUR * HOUR).tolist(), rows.versions, strict=True))
    assert set(found) == set(keys)
    for key, period in found.items():
        here = np.array([other == key for other in keys])
        known = here & (rows.truths >= 0)
        assert period.predicted.tolist() == np.bincount(rows.labels[here], minlength=10).tolist()
        assert (period.first, period.last) == (rows.times[here].min(), rows.times[here].max())
        pairs = np.bincount(rows.truths[known] * 10 + rows.labels[known], minlength=100)
        assert period.confusion.ravel().tolist() == pairs.tolist()
    together = {period.version: period for period in total(found.values())}
    assert [together[version].predictions for version in ("v1", "v2")] == [120, 30]
    assert (together["v1"].labelled, together["v1"].right) == (75, 66)
    assert (together["v2"].first, together["v2"].last) == (START + 2 * SECOND, rows.times.max())


def test_periods_are_of_the_window_and_stage_that_were_asked_for(logged):
    logged.predict(30)
    logged.now += HOUR
    logged.predict(20)
    history = History(logged.log.engine)
    (later,) = performance(history.counts(Window(since=START + HOUR, stage="staging"), HOUR))
    assert later.predictions == 20
    assert performance(history.counts(Window(stage="production"), HOUR)) == []


def test_precision_and_recall_are_those_of_the_confusion(logged):
    ids = logged.predict(60)
    logged.label(ids, errors=6)
    (period,) = periods(logged)
    hits = np.diag(period.confusion)
    for label, found in period.per_class.items():
        assert found["recall"] == pytest.approx(hits[int(label)] / period.confusion[int(label)].sum())
        assert found["precision"] == pytest.approx(hits[int(label)] / period.confusion[:, int(label)].sum())
    assert period.confusion.sum() == 60


def test_class_of_which_nothing_is_known_has_no_figures(logged):
    logged.predict(5)
    (period,) = periods(logged)
    assert period.per_class["3"] == {"precision": None, "recall": None}
