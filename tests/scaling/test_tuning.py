from types import SimpleNamespace

from scaling.settings import base
from scaling.trial import METRIC, TIME
from scaling.tuning import Halving, halving, stopping


def recorded(scheduler) -> list[set[str]]:
    """Trials that count in each rung, from the last to the first."""
    return [set(rung) for bracket in scheduler._brackets for _, rung in bracket._rungs]


def measured(scheduler, name, accuracy):
    trial = SimpleNamespace(trial_id=name)
    scheduler.on_trial_add(None, trial)
    decision = scheduler.on_trial_result(None, trial, {TIME: 50, METRIC: accuracy})
    return trial, decision


def test_a_trial_that_falls_behind_is_stopped(workspace):
    scheduler = halving(base(), [])
    decisions = [measured(scheduler, name, accuracy)[1] for name, accuracy in (("a", 0.9), ("b", 0.8), ("c", 0.95))]
    assert decisions == ["CONTINUE", "STOP", "CONTINUE"]


def test_for_the_frontier_no_trial_is_stopped(workspace):
    assert stopping("frontier", base(), []) is None  # what Tune takes for none
    assert isinstance(stopping("accuracy", base(), []), Halving)


def test_a_trial_whose_worker_is_lost_does_not_count(workspace):
    scheduler = halving(base(), [])
    measured(scheduler, "a", 0.8)
    lost, _ = measured(scheduler, "b", 0.9)
    scheduler.on_trial_error(None, lost)
    assert {name for rung in recorded(scheduler) for name in rung} == {"a"}
    assert measured(scheduler, "c", 0.85)[1] == "CONTINUE"  # which is less than b had


def test_what_is_on_record_counts_as_if_it_had_run_here(workspace):
    known = [
        {"trial": "00000", "settings": {}, "curve": [0.9, 0.95]},
        {"trial": "00001", "settings": {"train.epochs": 4}, "curve": [0.7, 0.7, 0.7, 0.8]},  # half of its training
        {"trial": "00002", "settings": {"train.epochs": 4}, "curve": [0.7]},  # has come to no rung
    ]
    scheduler = halving(base(), known)
    assert {name for rung in recorded(scheduler) for name in rung} == {"00000", "00001"}
    assert measured(scheduler, "new", 0.85)[1] == "STOP"
