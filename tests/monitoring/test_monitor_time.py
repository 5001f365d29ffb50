"""What clocks and labels that come late do to the windows that are read from a prediction log."""

import dataclasses

from monitoring import state
from tests.monitoring.logged import HOUR
from tests.monitoring.traffic import shifted

TOO_LITTLE = "too little data"


def test_clock_that_is_set_back_a_little_is_waited_for_and_that_is_said(logged):
    logged.predict(100)
    logged.look()
    before = logged.state
    logged.now -= HOUR // 2
    logged.predict(100, change=shifted, seconds=0)
    assert logged.look(0) == []
    assert (logged.state, logged.levels()["data drift"]) == (before, TOO_LITTLE)
    said = "the clock was set back: nothing is judged until it is 2027-01-15 08:00:11 UTC once more"
    assert logged.trouble == said
    logged.look(600)
    assert logged.trouble == said
    logged.now += HOUR // 2 - 600_000_000
    logged.predict(100)
    assert logged.look() == []
    assert (logged.windows, logged.state.late, logged.trouble) == ([("v1", 100, "full")] * 2, 100, "")


def test_clock_that_is_set_back_is_waited_for_an_hour_at_most_however_long_a_gap_is(logged):
    logged.params = dataclasses.replace(logged.params, gap_seconds=24 * 3600)
    logged.predict(100)
    logged.look()
    logged.now -= 2 * HOUR
    logged.look(0)
    assert logged.trouble == ""
    logged.predict(100)
    logged.look()
    assert len(logged.windows) == 2


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


def test_what_a_clock_that_is_set_back_lets_one_read_again_is_not_counted_twice(logged):
    logged.label(logged.predict(150), seconds=10)
    logged.look()
    logged.now -= 2 * HOUR
    logged.look()
    assert (sum(logged.state.streams["v1"].predicted), logged.state.streams["v1"].labels) == (0, state.Labels())
