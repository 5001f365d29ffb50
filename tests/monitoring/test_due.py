import dataclasses
from pathlib import Path

import numpy as np
import pytest

from delivery.schema import SECOND
from digits.params import load
from monitoring.alerts import Alert
from monitoring.due import Key, due, harmful
from monitoring.result import Detector, Result
from monitoring.settings import MonitoringParams

PARAMS = load(MonitoringParams, "monitoring", Path(__file__).parents[2] / "params.yaml")
HOUR = 3600 * SECOND
NOW = 1_800_000_000 * SECOND
BY_LABELS = [Detector.CONCEPT_DRIFT, Detector.ACCURACY]
BY_INPUTS = [Detector.DATA_DRIFT, Detector.LABEL_SHIFT]


def alert(detector: Detector, number: int = 1, **fields) -> Alert:
    result = Result(detector, "test", 9.0, 1e-6, 100, 0.5, "effect")
    return Alert(number, detector, "v1", NOW - HOUR, NOW - HOUR, result, **fields)


def sample(labels: int, errors: int) -> np.ndarray:
    """So many labels, of which the first few show an error."""
    return np.arange(labels) < errors


NONE = sample(0, 0)


def decide(*alerts: Alert, wrong=NONE, answered=(), last: int | None = None, unused: int | None = None):
    return due(alerts, lambda _: wrong, PARAMS, answered=answered, last=last, now=NOW, unused=unused)


@pytest.mark.parametrize("detector", BY_LABELS)
def test_what_labels_say_is_due_at_once(detector):
    decision = decide(alert(detector))
    assert decision.due
    assert decision.reason.startswith(f"alert 1, {detector} of v1: test 9, ")


@pytest.mark.parametrize("detector", BY_INPUTS)
@pytest.mark.parametrize(
    ("labels", "errors", "is_due", "said"),
    [
        (0, 0, False, "input drift alone; 0 labels since then, at least 50 are needed"),
        (49, 49, False, "input drift alone; 49 labels since then"),
        (
            50,
            5,
            False,
            "does no harm that could be shown: of the first 50 of 50 labels since then 90.0 % right, p = 0.017",
        ),
        (50, 6, True, "does harm: of the first 50 of 50 labels since then 88.0 % right, p = 0.0037, where 0.005 shows"),
        (99, 5, False, "of the first 50 of 99 labels since then 90.0 % right, p = 0.017, where 0.005 shows harm"),
        (10_000, 5, False, "does no harm that could be shown: of the first 6,400 of 10,000 labels"),
        (10_000, 0, False, "does no harm"),
    ],
)
def test_input_drift_is_due_only_once_labels_show_harm(detector, labels, errors, is_due, said):
    decision = decide(alert(detector), wrong=sample(labels, errors))
    assert decision.due == is_due
    (line,) = decision.found
    assert said in line


def test_harm_that_begins_later_is_seen_at_the_next_doubling():
    wrong = np.concatenate([np.zeros(50, bool), np.ones(50, bool)])
    assert not decide(alert(Detector.DATA_DRIFT), wrong=wrong[:99]).due
    assert decide(alert(Detector.DATA_DRIFT), wrong=wrong).due


def test_however_often_somebody_looks_harm_is_found_by_chance_no_more_often_than_said():
    """At the accuracy that is asked for, with a look whenever ten labels came. Testing all of them each time: 7 %."""
    rng = np.random.default_rng(0)
    traffic = rng.random((600, 1600)) >= PARAMS.accuracy.at_least
    found = sum(any(harmful(wrong[:labels], PARAMS)[0] for labels in range(10, 1601, 10)) for wrong in traffic)
    assert found / len(traffic) <= PARAMS.retraining.harm


def test_labels_that_nothing_was_trained_on_are_due_in_time_without_an_alert():
    days = 24 * HOUR
    decision = decide(unused=NOW - 30 * days)
    assert decision.due
    assert decision.reason == "labels wait, and for 30 days nothing was trained on them"
    assert not decide(unused=NOW - 30 * days + 1).due
    assert not decide(unused=NOW - 30 * days, last=NOW - HOUR).due  # one that failed: it, too, is followed by a pause
    assert decide(alert(Detector.ACCURACY), unused=NOW - 30 * days).reason.startswith("alert 1, ")
    never = dataclasses.replace(PARAMS, retraining=dataclasses.replace(PARAMS.retraining, every_days=None))
    asked = {"answered": (), "last": None, "now": NOW, "unused": 0}
    assert not due([], lambda _: sample(0, 0), never, **asked).due


def test_nothing_is_due_without_an_alert_or_after_it():
    assert not decide().due
    assert not decide(alert(Detector.ACCURACY, resolved=NOW, why="back to normal")).due


def test_the_same_alert_asks_once():
    one = alert(Detector.ACCURACY)
    decision = decide(one, answered={Key.of(one)})
    assert not decision.due
    assert decision.found == ()


@pytest.mark.parametrize(
    "change", [{"number": 2}, {"since": NOW}, {"version": "v2"}, {"detector": Detector.CONCEPT_DRIFT}]
)
def test_another_alert_asks_again(change):
    """Also one of the same number: numbers begin anew when monitoring's state is removed."""
    one = alert(Detector.ACCURACY)
    assert decide(dataclasses.replace(one, **change), answered={Key.of(one)}).due


def test_soon_after_a_retraining_the_next_waits():
    one = alert(Detector.ACCURACY)
    hours = PARAMS.retraining.pause_hours
    soon = decide(one, last=NOW - HOUR)
    assert not soon.due
    assert soon.waits == "a retraining was started less than 24 hours ago; 23.0 are left"
    assert decide(one, last=NOW - round(hours * HOUR)).due
    assert decide(one, last=NOW + HOUR).due  # the clock was set back: nobody knows how long to wait


def test_one_retraining_answers_all_that_ask_and_the_labels_are_its_reason():
    drift, fallen, alone = alert(Detector.DATA_DRIFT), alert(Detector.ACCURACY, 3), alert(Detector.LABEL_SHIFT, 2)
    wrong = {1: sample(100, 20), 2: sample(10, 0)}
    decision = due(
        [drift, alone, fallen],
        lambda one: wrong[one.number],
        PARAMS,
        answered=set(),
        last=None,
        now=NOW,
    )
    assert [one.number for one in decision.alerts] == [3, 1]
    assert decision.reason.startswith("alert 3, accuracy of v1")
    assert len(decision.found) == 3
