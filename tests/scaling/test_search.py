import json

import pytest
from ray.tune.search import Searcher

from scaling import tuning
from scaling.progress import Progress
from scaling.proposals import Proposals
from scaling.records import begin
from scaling.search import NoWorkerError, Search
from scaling.settings import base
from scaling.space import parse
from tests.scaling.test_records import WANTED

SPACE = parse({"train.learning_rate": {"loguniform": [0.01, 1.0]}})


def result(outcome, curve=(0.8, 0.9), **more):
    return (
        {
            "outcome": outcome,
            "curve": list(curve),
            "loss": 0.5,
            "validation_accuracy": curve[-1] if curve else 0.0,
            "parameters": 10,
            "seconds": 1.0,
            "node": "a:1",
            "device": "cpu, AVX2",
            "error": None,
        }
        | {"place": more.get("node", "a:1")}
        | more
    )


@pytest.fixture
def journal(workspace):
    with begin("one", WANTED) as opened:
        yield opened


@pytest.fixture
def search(journal, capfd):
    def made(trials, space=SPACE, places=None, **more):
        progress = Progress(trials, journal.records)
        proposals = Proposals(space, base(), 0)
        for record in journal.records:
            proposals.learn(record)
        room = {"a:1": 9} if places is None else places
        return Search(trials, proposals, journal, progress, places=lambda: room, **more)

    return made


def number(config) -> str:
    return config["trial"]


def test_each_number_is_given_out_once_and_its_end_recorded(search, journal):
    made = search(3)
    assert [number(made.suggest(name)) for name in "abc"] == ["00000", "00001", "00002"]
    assert made.suggest("d") is None  # one of them could still be handed back
    made.on_trial_complete("b", result("finished"))
    made.on_trial_complete("a", result(None, curve=(0.7,)))
    made.on_trial_complete("c", result("failed", curve=(), error="the loss became nan"))
    assert made.suggest("e") == Searcher.FINISHED
    assert [(one["trial"], one["state"], one["validation_accuracy"], one["error"]) for one in journal.records] == [
        ("00001", "finished", 0.9, None),
        ("00000", "stopped", 0.7, None),
        ("00002", "failed", None, "the loss became nan"),
    ]
    assert not made.stop_all()


def test_settings_go_to_the_worker_and_into_the_record(search, journal):
    made = search(1)
    settings = json.loads(made.suggest("a")["settings"])
    made.on_trial_complete("a", result("finished"))
    assert journal.records[0]["settings"] == settings
    assert settings.keys() == {"train.learning_rate"}


def test_another_driver_goes_on_with_what_has_no_record(search, journal):
    first = search(4)
    for name in "abc":
        first.suggest(name)
    first.on_trial_complete("b", result("finished"))
    second = search(4)
    assert [number(second.suggest(name)) for name in "xyz"] == ["00000", "00002", "00003"]


def test_a_trial_whose_worker_dies_runs_again_with_the_same_settings(search, journal, capfd):
    made = search(1)
    lost = made.suggest("a")
    made.on_trial_complete("a", error=True)
    assert journal.records == []
    assert capfd.readouterr().err == "warning: trial 00000 has lost its worker; it runs again\n"
    assert made.suggest("b") == lost
    made.on_trial_complete("b", result("finished"))
    assert [record["trial"] for record in journal.records] == ["00000"]


def test_a_trial_that_takes_three_workers_along_is_left_to_the_next_driver(search, journal, capfd):
    """For it may be the nodes' fault: no record says that it has failed."""
    made = search(1)
    for name in "abc":
        assert number(made.suggest(name)) == "00000"
        made.on_trial_complete(name, error=True)
    assert capfd.readouterr().err.endswith("warning: trial 00000 has lost its worker; after 3 tries it is left out\n")
    assert made.suggest("e") == Searcher.FINISHED
    assert (made.lost, made.stop_all()) == ([0], False)
    assert journal.records == []
    assert number(search(1).suggest("a")) == "00000"


def breaks(made, name, node="a:1", **more):
    """A worker says what broke it, and ends."""
    config = made.suggest(name)
    made(name, result("broken", (), node=node, error="RuntimeError: device lost", **more))
    made.on_trial_complete(name, error=True)
    return number(config)


def ends(made, name, node="a:1", **more):
    """A trial finishes."""
    config = made.suggest(name)
    made.on_trial_complete(name, result("finished", node=node, **more))
    return number(config)


def test_a_trial_that_breaks_where_another_one_ends_in_between_has_failed(search, journal, capfd):
    made = search(2)
    assert breaks(made, "a") == "00000"
    assert journal.records == []
    told = "warning: trial 00000 has ended on node a:1 with RuntimeError: device lost; it runs again\n"
    assert capfd.readouterr().err == told
    assert ends(made, "b") == "00001"  # the others first
    assert breaks(made, "c") == "00000"
    (_, broken) = journal.records
    assert (broken["trial"], broken["state"], broken["error"]) == ("00000", "failed", "RuntimeError: device lost")
    assert (broken["validation_accuracy"], broken["loss"]) == (None, None)
    assert made.suggest("d") == Searcher.FINISHED


@pytest.mark.parametrize(("other", "states"), [("a:1", ["finished"]), ("b:2", ["finished", "failed"])])
def test_it_is_the_node_of_the_second_error_that_has_to_work(search, journal, other, states):
    made = search(2, places={"a:1": 1, "b:2": 1})
    breaks(made, "a", "a:1")
    ends(made, "b", other)
    assert breaks(made, "c", "b:2") == "00000"
    assert [record["state"] for record in journal.records] == states


def test_a_trial_that_breaks_three_workers_where_none_has_ended_is_left_out(search, journal):
    made = search(1, places={"a:1": 1, "b:2": 1})
    for name, node in (("a", "a:1"), ("b", "b:2"), ("c", "a:1")):
        assert breaks(made, name, node) == "00000"
    assert (journal.records, made.lost) == ([], [0])
    assert made.suggest("d") == Searcher.FINISHED


def test_one_gpu_of_several_that_is_lost_makes_no_trial_a_failed_one(search, journal):
    made = search(2, places={"a:1": 2})
    assert breaks(made, "a", place="a:1 GPU 0") == "00000"
    assert ends(made, "b", place="a:1 GPU 1") == "00001"
    assert breaks(made, "c", place="a:1 GPU 0") == "00000"
    assert ends(made, "d", place="a:1 GPU 1") == "00000"
    assert [record["state"] for record in journal.records] == ["finished", "finished"]


def test_a_node_that_breaks_whatever_it_gets_fails_no_trial_and_is_named_once(search, journal, capfd):
    made = search(9, places={"good:1": 1, "bad:2": 1})
    made.suggest("long")
    given = [breaks(made, f"{attempt}", "bad:2") for attempt in range(30)]
    assert given == [f"{1 + attempt % 8:05}" for attempt in range(30)]
    assert (journal.records, made.lost, made.stop_all()) == ([], [], False)
    assert capfd.readouterr().err.count("as did those before; what it gets runs again on another node") == 1
    made.on_trial_complete("long", result("finished", node="good:1"))
    for attempt in range(8):
        ends(made, f"good {attempt}", "good:1")
    assert [record["state"] for record in journal.records] == ["finished"] * 9


def test_a_node_that_breaks_whatever_it_gets_does_not_take_the_room_that_a_sweep_has(search):
    made = search(9, places={"good:1": 1, "bad:2": 1}, most=1)
    for attempt in range(4):
        breaks(made, f"{attempt}", "bad:2")
    assert made.suggest("a")
    assert made.suggest("b")
    assert made.suggest("c") is None


@pytest.mark.parametrize("before", [0, 1])
def test_where_every_trial_breaks_the_sweep_ends_and_none_has_failed(search, journal, before):
    made = search(50)
    for attempt in range(before):
        ends(made, f"good {attempt}")
    for attempt in range(9):
        breaks(made, f"{attempt}")
    assert not made.stop_all()
    breaks(made, "last")
    assert isinstance(made.problem, NoWorkerError)
    assert str(made.problem) == f"trial {9 + before:05} has ended on node a:1 with RuntimeError: device lost"
    assert len(journal.records) == before


def test_where_every_trial_breaks_those_that_run_are_waited_for(search):
    made = search(50, places={"a:1": 2})
    made.suggest("long")
    for attempt in range(10):
        breaks(made, f"{attempt}")
    assert made.suggest("in vain") is None
    assert not made.stop_all()
    made.on_trial_complete("long", result("finished"))
    assert made.suggest("next")


def test_many_trials_that_fail_of_their_own_end_no_sweep(search, journal):
    made = search(24)
    for attempt in range(12):
        breaks(made, f"{attempt}")
        ends(made, f"good {attempt}")
    for attempt in range(12):
        breaks(made, f"{attempt} again")
    assert not made.stop_all()
    assert [record["state"] for record in journal.records] == ["finished"] * 12 + ["failed"] * 12


def test_a_trial_that_broke_after_it_had_measured_is_at_no_rung_of_the_next_driver(search, journal):
    made = search(2)
    for name in "ab":
        made.suggest(name)
        made(name, result(None))
        made(name, result("broken", error="RuntimeError: device lost"))
        made.on_trial_complete(name, error=True)
        if name == "a":
            ends(made, "other")
    (_, broken) = journal.records
    assert (broken["state"], broken["curve"], broken["validations"]) == ("failed", [], 0)


def test_a_trial_that_is_handed_back_when_its_node_is_gone_waits_for_another(search, capfd):
    room = {"a:1": 1}
    made = search(1, places=room)
    made.suggest("a")
    room.clear()
    made.on_trial_complete("a", result("refused", (), error="node a: no data"))
    assert made.suggest("b") is None
    assert not made.stop_all()
    assert "no node is left that could run a trial" in capfd.readouterr().err


def test_a_node_on_which_workers_die_does_not_take_a_trial_s_three_lives_in_a_row(search, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("scaling.search.time.monotonic", lambda: now[0])
    made = search(5, pause=10.0)
    made.suggest("good")
    for name, given in (("a", "00001"), ("b", "00002"), ("c", "00003"), ("d", "00004"), ("e", "00001")):
        assert number(made.suggest(name)) == given
        made.on_trial_complete(name, error=True)
        assert made.suggest("at once") is None
        now[0] += 11
    assert made.lost == []


def test_a_sweep_that_gets_no_place_says_so_once(search, capfd, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("scaling.search.time.monotonic", lambda: now[0])
    made = search(20)
    for name in "abc":
        made.suggest(name)
        now[0] += 40
    assert capfd.readouterr().err.count("no trial has measured anything for 60 seconds: another sweep perhaps") == 1


def test_a_sweep_that_measures_is_not_silent(search, capfd, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("scaling.search.time.monotonic", lambda: now[0])
    made = search(20)
    made.suggest("a")
    made("a", result(None))
    now[0] += 100
    made.suggest("b")
    assert capfd.readouterr().err == ""


def test_a_node_that_refuses_hands_its_trial_back_and_is_named_once(search, journal, capfd):
    made = search(5)
    for name in ("a", "b"):
        config = made.suggest(name)
        made.on_trial_complete(name, result("refused", (), node="bad:2", error="node bad: torch 1 is here"))
        assert made.suggest(f"{name} again") == config
        made.on_trial_complete(f"{name} again", result("finished"))
    assert len(journal.records) == 2
    assert capfd.readouterr().err.count("warning: node bad: torch 1 is here") == 1
    assert not made.stop_all()


def refuse(made, name, node):
    made.suggest(name)
    made.on_trial_complete(name, result("refused", (), node=node, error=f"node {node}: no data"))


def test_a_node_that_refuses_ends_no_sweep_as_long_as_another_is_there(search, capfd):
    made = search(5, places={"good:1": 1, "bad:2": 1})
    assert number(made.suggest("long")) == "00000"  # it takes longer than all that follows, and measures nothing
    for attempt in range(20):
        refuse(made, f"{attempt}", "bad:2")
        assert not made.stop_all()
    made.on_trial_complete("long", result("finished", node="good:1"))
    refuse(made, "again", "bad:2")
    assert not made.stop_all()
    assert number(made.suggest("next")) == "00001"
    assert capfd.readouterr().err.count("warning: node bad:2") == 1


def test_where_all_nodes_refuse_again_and_again_the_sweep_ends(search, journal):
    made = search(5, places={"bad:1": 1, "bad:2": 1})
    for attempt in range(3):
        refuse(made, f"{attempt}", "bad:1")
        refuse(made, f"{attempt} too", "bad:2") if attempt < 2 else None
        assert not made.stop_all()
    refuse(made, "last", "bad:2")
    assert made.stop_all()
    assert isinstance(made.problem, NoWorkerError)
    assert str(made.problem) == "node bad:2: no data"
    assert journal.records == []


def test_a_worker_that_refuses_ends_no_sweep_where_another_of_its_node_works(search, journal):
    made = search(9, places={"here:1": 2})
    made.suggest("long")
    for attempt in range(3):
        refuse(made, f"{attempt}", "here:1")
    assert made.suggest("in vain") is None  # until the one that runs has shown what the node can do
    made("long", result(None, node="here:1"))
    assert number(made.suggest("next")) == "00001"
    made.on_trial_complete("next", result("finished", node="here:1"))
    assert [record["trial"] for record in journal.records] == ["00001"]


def test_a_node_that_was_found_unfit_before_is_not_named_again(search, capfd):
    made = search(5, places={"good:1": 1, "bad:2": 1}, unfit={"bad:2": "no data"})
    refuse(made, "a", "bad:2")
    assert capfd.readouterr().err == ""


def test_a_sweep_leaves_room_for_another_if_it_is_told_to(search):
    made = search(5, places={"a:1": 2, "b:2": 2}, most=3)
    assert [number(made.suggest(name)) for name in "abc"] == ["00000", "00001", "00002"]
    assert made.suggest("d") is None


def test_a_node_that_refuses_does_not_take_the_room_that_a_sweep_has(search):
    """Tune gives the next trial to the worker that is free, which is the one that refused."""
    made = search(5, places={"good:1": 2, "bad:2": 1}, most=1)
    assert made.suggest("a")
    assert made.suggest("b") is None
    made.on_trial_complete("a", result("refused", (), node="bad:2", error="node bad:2: no data"))
    assert [number(made.suggest(name)) for name in "ab"] == ["00000", "00001"]
    assert made.suggest("c") is None


def test_nodes_that_join_get_trials_and_those_that_leave_get_none(search, capfd):
    room = {"a:1": 1}
    made = search(5, places=room)
    assert number(made.suggest("a")) == "00000"
    assert made.suggest("b") is None
    room["b:2"] = 2
    assert [number(made.suggest(name)) for name in "bc"] == ["00001", "00002"]
    assert made.suggest("d") is None
    room.clear()
    for name in "abc":
        made.on_trial_complete(name, result("finished"))
    assert made.suggest("d") is None
    assert made.suggest("d") is None
    assert capfd.readouterr().err.count("warning: no node is left that could run a trial; the sweep waits for one") == 1
    room["c:3"] = 1
    assert number(made.suggest("d")) == "00003"


def test_a_record_that_can_t_be_written_ends_the_sweep(search, journal, monkeypatch):
    made = search(5)
    made.suggest("a")
    monkeypatch.setattr(journal, "append", lambda record: (_ for _ in ()).throw(OSError(28, "full")))
    made.on_trial_complete("a", result("finished"))
    assert made.stop_all()
    assert isinstance(made.problem, OSError)


def test_a_space_that_is_used_up_ends_the_sweep_without_an_error(search, journal):
    made = search(9, parse({"train.batch_size": {"choice": [16, 32]}}))
    made.suggest("a")
    made.suggest("b")
    assert made.suggest("c") is None
    for name in "ab":
        made.on_trial_complete(name, result("finished"))
    assert made.suggest("d") == Searcher.FINISHED
    assert made.exhausted
    assert not made.stop_all()


def test_a_space_in_which_nothing_goes_together_ends_the_sweep(search):
    made = search(9, parse({"model.kernels": {"choice": [[27, 5]]}}))
    assert made.suggest("a") == Searcher.FINISHED
    assert "nothing in the space goes together" in str(made.problem)


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
    scheduler = tuning.halving(params, [])
    decisions = [Live(scheduler, str(score)).measured(1, score / 100) for score in (90, 91, 92, 50, 89, 99)]
    assert decisions == ["CONTINUE", "CONTINUE", "CONTINUE", "STOP", "STOP", "CONTINUE"]


def test_early_stopping_knows_what_was_measured_before(workspace):
    params = base()
    params["train"]["validations"] = 5
    known = [
        {"trial": f"{index:05}", "settings": {}, "curve": curve}
        for index, curve in enumerate([(0.9, 0.95, 0.97, 0.98, 0.98), (0.91, 0.95, 0.96), (0.7,), (0.92, 0.93, 0.94)])
    ]
    scheduler = tuning.halving(params, known)
    assert Live(scheduler, "low").measured(1, 0.8) == "STOP"
    high = Live(scheduler, "high")
    assert [high.measured(count, accuracy) for count, accuracy in ((1, 0.93), (2, 0.9), (3, 0.95))] == [
        "CONTINUE",
        "CONTINUE",
        "STOP",
    ]
