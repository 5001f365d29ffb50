from types import SimpleNamespace

import pytest
from ray.tune.execution import class_cache

from scaling.search import NoWorkerError
from scaling.settings import base
from scaling.trial import METRIC, TIME, Training
from scaling.tuning import Halving, TuningError, halving, hand_on_nothing, settle, stopping


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


class Live:
    """A trial, as ASHA sees it while it runs."""

    def __init__(self, scheduler, name):
        self.trial_id, self._scheduler = name, scheduler
        scheduler.on_trial_add(None, self)

    def measured(self, count, accuracy):
        return self._scheduler.on_trial_result(None, self, {"percent": 20 * count, "validation_accuracy": accuracy})


def test_the_worst_two_thirds_are_stopped_at_the_first_rung(workspace):
    params = base()
    params["train"]["validations"] = 5
    scheduler = halving(params, [])
    decisions = [Live(scheduler, str(score)).measured(1, score / 100) for score in (90, 91, 92, 50, 89, 99)]
    assert decisions == ["CONTINUE", "CONTINUE", "CONTINUE", "STOP", "STOP", "CONTINUE"]


def test_early_stopping_knows_what_was_measured_before(workspace):
    params = base()
    params["train"]["validations"] = 5
    known = [
        {"trial": f"{index:05}", "settings": {}, "curve": curve}
        for index, curve in enumerate([(0.9, 0.95, 0.97, 0.98, 0.98), (0.91, 0.95, 0.96), (0.7,), (0.92, 0.93, 0.94)])
    ]
    scheduler = halving(params, known)
    assert Live(scheduler, "low").measured(1, 0.8) == "STOP"
    high = Live(scheduler, "high")
    assert [high.measured(count, accuracy) for count, accuracy in ((1, 0.93), (2, 0.9), (3, 0.95))] == [
        "CONTINUE",
        "CONTINUE",
        "STOP",
    ]


def ended(**changes):
    return SimpleNamespace(**{"problem": None, "lost": [], "exhausted": False} | changes)


def test_workers_get_no_credentials_of_the_driver_s(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the driver")
    monkeypatch.setattr(class_cache, "ENV_VARS_TO_PROPAGATE", class_cache.ENV_VARS_TO_PROPAGATE)
    made = class_cache._ActorClassCache().get(Training)
    assert "of the driver" in str(made._default_options)  # as Tune would have it
    hand_on_nothing()
    assert "of the driver" not in str(class_cache._ActorClassCache().get(Training)._default_options)


def test_a_sweep_that_is_done_is_no_error(capsys):
    assert settle(ended(), 0) is None
    assert settle(ended(exhausted=True), 4) is None
    assert capsys.readouterr().out == (
        "nothing more was found in the space that fits and was not tried, so 4 trials were not run\n"
    )


@pytest.mark.parametrize(
    ("search", "missing", "message"),
    [
        (ended(problem=NoWorkerError("node bad: no data")), 3, "^no worker can run trials: node bad: no data$"),
        (ended(), 1, "^Ray Tune has ended, and 1 trials have no record$"),
    ],
)
def test_a_trial_without_a_record_is_an_error(search, missing, message):
    with pytest.raises(TuningError, match=message):
        settle(search, missing)


@pytest.mark.parametrize("exhausted", [True, False])
def test_trials_that_were_left_out_are_told(exhausted):
    told = settle(ended(lost=[12, 3], exhausted=exhausted), 2)
    assert told.startswith("without a record: 00003, 00012, whose workers ended again and again, see above, ")


def test_what_stopped_the_search_is_raised_as_it_is():
    with pytest.raises(OSError, match="full"):
        settle(ended(problem=OSError(28, "full")), 1)
