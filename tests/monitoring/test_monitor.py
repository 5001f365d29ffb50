"""Reading windows from a prediction log, and what versions, labels and references do to it."""

import dataclasses

from digits.drift_reference import DriftReferenceError
from monitoring import state
from tests.monitoring.logged import HOUR
from tests.monitoring.traffic import all_sevens, shifted

TOO_LITTLE = "too little data"


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


def test_labels_of_those_who_give_no_random_sample_can_be_left_out(logged):
    ids = logged.predict(200)
    logged.params = dataclasses.replace(logged.params, label_sources=("annotators",))
    logged.label(ids[:100], errors=100, seconds=10)  # by the source `test`
    assert logged.look() == []
    assert (logged.state.streams["v1"].labelled, logged.levels()["concept drift"]) == (0, TOO_LITTLE)
    logged.params = dataclasses.replace(logged.params, label_sources=("annotators", "test"))
    logged.label(ids[100:], errors=100, seconds=10)
    assert logged.look() == ["concept drift of v1 fires"]


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
