"""What gaps do to windows, and to what adds up over them."""

import dataclasses

from monitoring import state
from tests.monitoring.logged import HOUR
from tests.monitoring.traffic import shifted

TOO_LITTLE = "too little data"


def test_a_gap_ends_a_window_and_with_too_little_in_it_nothing_is_said(logged):
    logged.predict(120)
    logged.look()
    assert logged.levels()["data drift"] == "ok"
    logged.now += 2 * HOUR
    assert logged.levels()["data drift"] == TOO_LITTLE  # for nothing is known of the last hour
    logged.predict(100)
    logged.look()
    assert logged.windows == [("v1", 100, "full"), ("v1", 20, "gap in traffic"), ("v1", 100, "full")]
    assert logged.state.windows[1].results == ()
    assert logged.state.windows[1].levels["data drift"] == TOO_LITTLE
    assert "fewer than monitoring.smallest_window" in logged.state.windows[1].note


def test_a_window_that_a_gap_cuts_short_is_judged_if_enough_is_in_it(logged):
    logged.predict(60, change=shifted)
    assert logged.look() == []
    assert logged.look(2 * 3600) == ["data drift of v1 fires"]
    assert logged.windows == [("v1", 60, "gap in traffic")]


def test_windows_before_and_after_a_gap_are_not_in_a_row(logged):
    logged.params = dataclasses.replace(logged.params, alert=1e-300)  # all are suspicious, none is sure alone
    for count in (100, 60, 100):
        logged.predict(count, change=shifted)
        assert logged.look() == []
        assert logged.look(2 * 3600) == []
    logged.predict(100, change=shifted)
    assert logged.look() == []
    logged.predict(100, change=shifted)
    assert logged.look() == ["data drift of v1 fires"]


def test_a_label_after_a_long_silence_says_nothing_of_concept_drift(logged):
    ids = logged.predict(200)
    logged.label(ids[:60], seconds=10)
    logged.look()
    assert logged.levels()["concept drift"] == "ok"
    logged.now += 100 * HOUR
    for count, level in ((1, TOO_LITTLE), (48, TOO_LITTLE), (1, "ok")):
        logged.label(ids[60 : 60 + count], seconds=10)
        logged.look()
        assert logged.levels()["concept drift"] == level
        ids = ids[count:]


def test_predicted_classes_add_up_over_a_gap(logged):
    logged.predict(600)
    logged.look()
    logged.look(2 * 3600)
    logged.predict(300)
    logged.look()
    assert (logged.levels()["label shift"], sum(logged.state.streams["v1"].predicted)) == (TOO_LITTLE, 900)
    logged.predict(100)
    logged.look()
    assert (logged.levels()["label shift"], sum(logged.state.streams["v1"].predicted)) == ("ok", 0)
    logged.now += 2 * HOUR
    assert logged.levels()["label shift"] == TOO_LITTLE


def test_classes_of_windows_that_are_too_small_to_be_judged_add_up(logged):
    for _ in range(25):
        logged.predict(40)
        logged.look(2 * 3600)
    assert {(window.n, window.levels["data drift"]) for window in logged.state.windows} == {(40, TOO_LITTLE)}
    assert [window.levels["label shift"] for window in logged.state.windows] == [*24 * [TOO_LITTLE], "ok"]


def test_labels_that_come_a_few_at_a_time_raise_the_alert_of_the_accuracy_and_resolve_it(logged):
    told = []
    for burst in range(20):
        logged.label(logged.predict(40), errors=4 if burst < 10 else 0, seconds=10)
        told += logged.look()
        if burst == 3:
            assert (logged.levels()["accuracy"], len(logged.state.streams["v1"].labels.truths)) == (TOO_LITTLE, 160)
        if burst == 4:  # after 200 labels in eight hours
            assert logged.levels()["accuracy"] == "alert"
            assert told == ["concept drift of v1 fires", "accuracy of v1 fires"]
        logged.now += 2 * HOUR
        assert logged.levels()["accuracy"] == TOO_LITTLE  # for they say nothing of now
    assert told[2:] == ["concept drift of v1 back to normal", "accuracy of v1 back to normal"]


def test_blocks_of_labels_are_in_a_row_whatever_time_is_between(logged):
    logged.params = dataclasses.replace(logged.params, alert=1e-300)  # all are suspicious, none is sure alone
    for fires in (False, False, True):
        logged.label(logged.predict(150), errors=15, seconds=10)
        assert ("accuracy of v1 fires" in logged.look()) == fires
        logged.now += 2 * HOUR


def test_a_gap_in_traffic_counts_for_labels_that_went_on_meanwhile(logged):
    ids = logged.predict(150)
    for start in range(0, 150, 50):
        logged.label(ids[start : start + 50], seconds=0.6 * 3600)
        logged.look()
    assert logged.state.streams["v1"].labels_since_gap == 150
    logged.predict(1)
    logged.look()
    assert logged.state.streams["v1"].labels_since_gap == 0
    assert len(logged.state.streams["v1"].labels.truths) == 150


def test_a_version_that_comes_back_after_another_is_counted_anew(logged):
    logged.label(logged.predict(150), seconds=10)
    logged.look()
    logged.now += 2 * HOUR
    logged.predict(1, "v2")
    logged.look()
    assert logged.state.streams["v1"].labels == state.Labels()
    logged.label(logged.predict(100), seconds=10)
    logged.look()
    stream = logged.state.streams["v1"]
    assert (sum(stream.predicted), len(stream.labels.truths), stream.labelled) == (100, 100, 250)


def test_an_alert_of_traffic_that_comes_now_and_then_is_over_after_as_many_calm_windows(logged):
    told = []
    for change in (shifted, None, shifted, None, None):
        logged.predict(60, change=change)
        told.append(logged.look(2 * 3600))
    assert told == [["data drift of v1 fires"], [], [], [], ["data drift of v1 back to normal"]]
