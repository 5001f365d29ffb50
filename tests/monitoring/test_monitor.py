"""Reading windows from a prediction log, and what gaps, versions, labels and clocks do to it."""

import dataclasses

import numpy as np

from digits.drift_reference import DriftReferenceError
from monitoring import state
from monitoring.shifts import moved
from tests.monitoring.logged import HOUR
from tests.monitoring.traffic import answers

TOO_LITTLE = "too little data"


def shifted(images, probabilities):
    return moved(images, 3), probabilities


def all_sevens(images, _probabilities):
    return images, answers(np.full(len(images), 7), seed=0)


def test_full_windows_are_judged_and_the_rest_waits(logged):
    logged.predict(250)
    assert logged.look() == []
    assert logged.windows == [("v1", 100, "full")] * 2
    logged.predict(50)
    logged.look()
    assert logged.windows == [("v1", 100, "full")] * 3
    judged = logged.state.windows[0]
    assert [result.detector for result in judged.results] == ["data drift"]
    assert (judged.results[0].n, judged.until - judged.since) == (100, 99)
    assert logged.levels() == {
        "data drift": "ok",
        "label shift": TOO_LITTLE,
        "concept drift": TOO_LITTLE,
        "accuracy": TOO_LITTLE,
    }


def test_nothing_is_judged_twice_or_lost_however_often_one_looks(logged):
    for _ in range(12):
        logged.predict(37)
        logged.look()
    found = [(window.since, window.n) for window in logged.state.windows]
    assert len(found) == len(set(found)) == 12 * 37 // 100
    starts = logged.state.windows
    logged.state = state.State()
    logged.look(0)
    assert [(window.since, window.until) for window in logged.state.windows] == [(w.since, w.until) for w in starts]


def test_what_is_very_new_is_left_for_the_next_time(logged):
    logged.predict(100, seconds=0)
    logged.look(4)
    assert logged.windows == []
    logged.look(2)
    assert logged.windows == [("v1", 100, "full")]


def test_drift_is_told_once_with_its_images_and_resolved_after_calm_windows(logged):
    ids = logged.predict(100)
    assert logged.look() == []
    drifted = logged.predict(100, change=shifted)
    assert logged.look() == ["data drift of v1 fires"]
    alert = logged.state.alerts.alerts[0]
    assert (len(set(alert.result.images)), set(alert.result.images) <= set(drifted)) == (10, True)
    assert not set(alert.result.images) & set(ids)
    logged.predict(300, change=shifted)
    assert logged.look() == []  # by a monitor that was started anew
    logged.predict(100)
    assert logged.look() == []
    logged.predict(100)
    assert logged.look() == ["data drift of v1 back to normal"]
    logged.predict(100, change=shifted)
    assert logged.look() == ["data drift of v1 fires"]
    assert [alert.number for alert in logged.state.alerts.alerts] == [1, 2]


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


def test_another_version_in_the_middle_of_a_window_begins_its_own(logged):
    logged.predict(140)
    for _ in range(3):  # one takes over from the other
        logged.predict(10, "v2")
        logged.predict(5, "v1")
    logged.predict(180, "v2")
    logged.look()
    assert logged.windows == [
        ("v1", 100, "full"),
        ("v2", 100, "full"),
        ("v2", 100, "full"),
        ("v1", 55, "another version took over"),
    ]
    assert logged.levels("v2")["data drift"] == "ok"
    assert [len(window.results) for window in logged.state.windows] == [1, 1, 1, 1]


def test_alerts_of_a_version_that_was_replaced_are_resolved(logged):
    logged.predict(100, change=shifted)
    assert logged.look() == ["data drift of v1 fires"]
    logged.now += HOUR + 1
    logged.predict(100, "v2", change=shifted)
    assert logged.look() == ["data drift of v2 fires", "data drift of v1 the version answers no longer"]


def test_version_without_a_reference_is_not_judged_and_that_is_said(logged):
    logged.predict(100, "v3", change=shifted)
    assert logged.look() == []
    assert logged.levels("v3")["data drift"] == TOO_LITTLE
    assert logged.state.windows[0].note == "no reference of v3; deploy the version with its reference.npz"


def test_label_shift_is_tested_once_in_a_thousand_predictions(logged):
    logged.predict(900)
    logged.look()
    assert logged.levels()["label shift"] == TOO_LITTLE
    logged.predict(1100)
    logged.look()
    tested = [n for n, window in enumerate(logged.state.windows) for r in window.results if r.detector == "label shift"]
    assert tested == [9, 19]
    assert logged.levels()["label shift"] == "ok"


def test_label_shift_names_the_class_and_images_of_it(logged):
    logged.predict(800)
    sevens = logged.predict(200, change=all_sevens)
    assert "label shift of v1 fires" in logged.look()
    result = next(a.result for a in logged.state.alerts.alerts if a.detector == "label shift")
    assert result.features[0].name == "class 7"
    assert result.images == tuple(reversed(sevens[-10:]))


def test_errors_are_told_by_labels_that_come_later(logged):
    ids = logged.predict(300)
    assert logged.look() == []
    logged.label(ids[:100], errors=30, seconds=10)
    assert logged.look() == ["concept drift of v1 fires"]
    result = logged.state.alerts.alerts[-1].result
    assert result.statistic == 8
    assert set(result.images) <= set(ids[:30])
    logged.label(ids[100:200], seconds=10)
    assert logged.look() == ["accuracy of v1 fires"]  # 30 errors in 200 labels
    assert logged.levels()["accuracy"] == "alert"


def test_concept_drift_is_over_once_the_evidence_is_gone(logged):
    logged.label(logged.predict(100), errors=30, seconds=10)
    assert logged.look() == ["concept drift of v1 fires"]
    logged.label(logged.predict(100), seconds=10)
    assert "concept drift of v1 back to normal" not in logged.look()
    logged.label(logged.predict(100), seconds=10)
    assert "concept drift of v1 back to normal" in logged.look()


def test_labels_of_a_version_that_answers_no_longer_count_for_none(logged):
    ids = logged.predict(100)
    logged.look()
    logged.now += 2 * HOUR
    logged.predict(100, "v2")
    logged.look()
    logged.label(ids, errors=100, seconds=10)
    assert logged.look() == []
    assert logged.state.streams["v2"].labelled == 0


def test_other_stages_in_the_same_log_are_left_alone(logged):
    logged.log.stage = "production"
    logged.predict(100, change=shifted)
    logged.log.stage = "staging"
    logged.predict(50)
    assert logged.look() == []
    assert logged.windows == []


def test_clock_that_is_set_back_a_little_is_waited_for(logged):
    logged.predict(100)
    logged.look()
    before = logged.state
    logged.now -= HOUR // 2
    assert logged.look(0) == []
    assert logged.state == before
    logged.now += HOUR // 2
    logged.predict(100)
    logged.look()
    assert logged.windows == [("v1", 100, "full")] * 2


def test_predictions_that_are_dated_into_time_already_read_are_counted(logged):
    logged.predict(100)
    logged.look()
    logged.now -= 30_000_000
    logged.predict(7)
    logged.now += 30_000_000
    logged.look()
    logged.look()
    assert logged.state.late == 7


def test_clock_that_ran_far_ahead_blinds_nobody_once_it_is_right_again(logged):
    logged.predict(100)
    logged.look()
    logged.now += 1000 * HOUR
    logged.predict(100)
    logged.look()
    logged.now -= 1000 * HOUR
    assert logged.look() == []
    assert set(logged.levels().values()) == {TOO_LITTLE}
    logged.predict(100, change=shifted)
    assert logged.look() == ["data drift of v1 fires"]


def test_clock_that_ran_far_ahead_does_not_blind_the_next_version_either(logged):
    logged.predict(100)
    logged.look()
    logged.now += 1000 * HOUR
    logged.label(logged.predict(1000))
    logged.look()
    logged.now -= 1000 * HOUR
    logged.look()
    ids = logged.predict(100, "v2", change=shifted)
    assert logged.look() == ["data drift of v2 fires"]
    logged.label(ids, errors=30, seconds=10)
    assert logged.look() == ["concept drift of v2 fires"]
    assert logged.state.streams["v2"].labelled == 100
    assert set(logged.levels("v1").values()) == {TOO_LITTLE}  # for it answered last in a future that did not come
    logged.now += HOUR
    logged.predict(100, "v2")
    logged.look()
    assert (logged.state.retired("v1", HOUR), logged.state.retired("v2", HOUR)) == (True, False)


def test_results_of_the_future_say_nothing(logged):
    logged.predict(100)
    logged.look()
    assert logged.levels()["data drift"] == "ok"
    logged.now -= HOUR // 2
    assert logged.levels()["data drift"] == TOO_LITTLE


def test_labels_that_are_dated_into_time_already_read_are_counted_apart(logged):
    ids = logged.predict(100)
    logged.look()
    logged.now -= 30_000_000
    logged.label(ids[:60])
    logged.now += 30_000_000
    logged.label(ids[60:])
    for _ in range(2):
        logged.look()
        assert (logged.state.late_labels, logged.state.late, logged.state.streams["v1"].labelled) == (60, 0, 40)


def test_after_a_state_of_before_it_was_counted_no_label_is_late(logged):
    logged.label(logged.predict(100), seconds=10)
    logged.look()
    logged.state = dataclasses.replace(logged.state, labels_before=None)
    logged.look()
    assert logged.state.late_labels == 0


def test_a_label_that_is_corrected_counts_once(logged):
    ids = logged.predict(100)
    logged.label(ids, errors=3, seconds=10)
    logged.look()
    for key in ids[:3]:
        logged.log.feedback(key, 0, "test", None, correct=True)
    logged.look(20)
    stream = logged.state.streams["v1"]
    assert (stream.labelled, stream.wrong, len(stream.labels.truths), logged.state.late_labels) == (100, 3, 100, 0)


def test_a_threshold_that_is_raised_later_is_reached_still(logged):
    ids = logged.predict(300)
    logged.label(ids[:60], seconds=10)
    logged.look()
    logged.params = dataclasses.replace(
        logged.params, cusum=dataclasses.replace(logged.params.cusum, threshold=10), alert=1e-300
    )
    logged.label(ids[60:250], errors=190, seconds=10)
    assert logged.look() == ["concept drift of v1 fires"]
    assert logged.state.streams["v1"].cusum.statistic == 10


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


def test_predicted_classes_before_and_after_a_gap_are_not_tested_together(logged):
    logged.predict(600)
    logged.look()
    logged.look(2 * 3600)
    logged.predict(900)
    logged.look()
    assert logged.levels()["label shift"] == TOO_LITTLE
    assert sum(logged.state.streams["v1"].predicted) == 900
    logged.predict(100)
    logged.look()
    assert logged.levels()["label shift"] == "ok"


def test_label_shift_before_and_after_a_gap_is_not_in_a_row(logged):
    logged.params = dataclasses.replace(logged.params, alert=1e-300, warn=0.999)  # suspicious, but not sure alone
    for _ in range(2):
        logged.predict(1000)
        logged.look()
        assert logged.state.streams["v1"].tracks["label shift"].suspicious == 1
        logged.look(2 * 3600)
    assert logged.state.alerts.firing("v1", "label shift") is None


def test_labels_before_and_after_a_gap_are_not_tested_together_nor_in_a_row(logged):
    logged.params = dataclasses.replace(logged.params, alert=1e-300)
    logged.label(logged.predict(350), errors=40, seconds=10)
    logged.look()
    track, stream = logged.state.streams["v1"].tracks["accuracy"], logged.state.streams["v1"]
    assert (track.suspicious, len(stream.labels.truths), stream.labels_since_gap) == (1, 150, 350)
    logged.now += 2 * HOUR
    logged.label(logged.predict(100), errors=20, seconds=10)
    logged.look()
    track, stream = logged.state.streams["v1"].tracks["accuracy"], logged.state.streams["v1"]
    assert (track.suspicious, len(stream.labels.truths), stream.labels_since_gap) == (0, 100, 100)
    logged.label(logged.predict(100), errors=20, seconds=10)
    assert "accuracy of v1 fires" not in logged.look()
    assert logged.state.streams["v1"].tracks["accuracy"].level == "warn"


def test_a_gap_in_traffic_counts_for_labels_that_went_on_meanwhile(logged):
    ids = logged.predict(150)
    for start in range(0, 150, 50):
        logged.label(ids[start : start + 50], seconds=0.6 * 3600)
        logged.look()
    assert logged.state.streams["v1"].labels_since_gap == 150
    logged.predict(1)
    logged.look()
    assert logged.state.streams["v1"].labels_since_gap == 0
    assert logged.state.streams["v1"].labels == state.Labels()


def test_a_damaged_reference_blinds_its_own_version_alone(logged):
    known, damage = dict(logged.known), "v1/reference.npz: not sorted; deploy it again"

    class References(dict):
        def get(self, version):
            if version == "v1":
                raise DriftReferenceError(damage)
            return known[version]

    logged.known = References()
    logged.predict(100, "v1")
    logged.predict(100, "v2", change=shifted)
    assert logged.look() == ["data drift of v2 fires"]
    assert [(window.version, window.note) for window in logged.state.windows] == [("v1", damage), ("v2", "")]
    assert (logged.levels("v1")["data drift"], logged.state.trouble(HOUR)) == (TOO_LITTLE, damage)
    logged.known = known
    logged.predict(100, "v1")
    logged.look()
    assert (logged.levels("v1")["data drift"], logged.state.trouble(HOUR)) == ("ok", "")


def test_a_tail_rank_above_the_reference_s_size_is_told(logged):
    logged.params = dataclasses.replace(logged.params, tail_rank=2001)
    logged.predict(100)
    assert logged.look() == []
    assert logged.state.trouble(HOUR) == (
        "params.yaml: monitoring.tail_rank: 2001 is more than the 2,000 images of the reference; lower it"
    )
    assert logged.state.windows[0].note == logged.state.trouble(HOUR)


def test_retention_of_the_log_takes_nothing_from_what_is_known(logged):
    logged.predict(100)
    logged.look()
    with logged.log.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM predictions")
    logged.predict(100)
    logged.look()
    assert (logged.windows, logged.state.late) == ([("v1", 100, "full")] * 2, 0)
