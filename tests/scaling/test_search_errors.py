"""Errors of trials that nobody foresaw: whose they are, and what they cost."""

import itertools
import random

import pytest
from ray.tune.search import Searcher

from scaling.search import NoWorkerError
from tests.scaling.answers import number, result


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


@pytest.mark.parametrize("gpus", [2, 4, 8])
@pytest.mark.parametrize("lost_after", [0, 300])
def test_one_gpu_of_several_that_is_lost_costs_no_trial(search, journal, capfd, gpus, lost_after):
    """One node, trials of 300 seconds, and a GPU that breaks one every 20 from some moment on."""
    made = search(60, places={"a:1": gpus})
    chance, names = random.Random(0), map(str, itertools.count())
    free, under_way, now = list(range(gpus)), [], 0
    while len(journal.records) < 60:
        while free and made.suggest(name := next(names)):
            gpu = free.pop(chance.randrange(len(free)))
            bad = gpu == 0 and now >= lost_after
            made(name, result(None, (), place=f"a:1 GPU {gpu}"))
            under_way.append((now + (20 if bad else 300), bad, gpu, name))
        now, bad, gpu, name = under_way.pop(under_way.index(min(under_way)))
        if bad:
            made(name, result("broken", (), place=f"a:1 GPU {gpu}", error="RuntimeError: device lost"))
        made.on_trial_complete(name, None if bad else result("finished", place=f"a:1 GPU {gpu}"), error=bad)
        free.append(gpu)
    assert (made.lost, made.stop_all()) == ([], False)
    assert [record["state"] for record in journal.records] == ["finished"] * 60
    assert capfd.readouterr().err.count("on node a:1 GPU 0 with RuntimeError: device lost, as did those before; ") == 1


def test_a_trial_that_breaks_three_times_has_failed_though_it_was_the_last(search, journal):
    """Nothing is left that could end in between. But others have ended there before."""
    made = search(2)
    assert ends(made, "a") == "00000"
    assert [breaks(made, name) for name in "bcd"] == ["00001"] * 3
    assert [record["state"] for record in journal.records] == ["finished", "failed"]
    assert made.suggest("e") == Searcher.FINISHED


def test_the_last_trials_have_not_failed_where_all_of_them_break(search, journal):
    made = search(3)
    assert ends(made, "a") == "00000"
    assert [breaks(made, name) for name in "bcdefg"] == ["00001", "00002"] * 3
    assert [record["state"] for record in journal.records] == ["finished"]
    assert sorted(made.lost) == [1, 2]


def test_a_trial_that_always_gets_the_same_bad_gpu_is_left_out_in_the_end(search, journal):
    """Nobody else runs, and Ray gives it the first GPU that is free."""
    made = search(6, places={"a:1": 2})
    for name in "abc":
        ends(made, name, place="a:1 GPU 1")
    for attempt in range(30):
        breaks(made, f"{attempt}", place="a:1 GPU 0")
    assert made.lost == []
    for attempt in range(30, 42):
        assert not made.stop_all()
        if made.lost != [3, 4, 5]:
            breaks(made, f"{attempt}", place="a:1 GPU 0")
    assert made.lost == [3, 4, 5]
    assert [record["state"] for record in journal.records] == ["finished"] * 3


def test_the_last_trials_do_not_run_for_ever_where_all_of_them_break_on_one_node_of_two(search):
    """The other one has worked, and has nothing to do. Each of them runs beside the others."""
    made = search(9, places={"a:1": 3, "b:2": 3})
    for name in ("x", "y", "z"):
        ends(made, f"{name} there", "b:2")
        ends(made, f"{name} here", "a:1")
    under_way, names = [], map(str, itertools.count())
    for _ in range(200):
        while len(under_way) < 3 and (config := made.suggest(name := next(names))):
            if config == Searcher.FINISHED:
                break
            made(name, result(None, ()))
            under_way.append(name)
        if not under_way:
            break
        made(under_way[0], result("broken", (), error="RuntimeError: out of memory"))
        made.on_trial_complete(under_way.pop(0), error=True)
    assert under_way == []
    assert sorted(made.lost) == [6, 7, 8]


def test_a_trial_that_only_a_bad_gpu_is_free_for_has_not_failed(search, journal):
    """The other GPU has a long one, after which it may show that it works."""
    made = search(3, places={"a:1": 2})
    ends(made, "a", place="a:1 GPU 0")
    made.suggest("long")
    made("long", result(None, place="a:1 GPU 1"))
    for attempt in range(9):
        assert breaks(made, f"{attempt}", place="a:1 GPU 0") == "00002"
    made.on_trial_complete("long", result("finished", place="a:1 GPU 1"))
    assert ends(made, "again", place="a:1 GPU 1") == "00002"
    assert [record["state"] for record in journal.records] == ["finished"] * 3


def test_a_gpu_that_breaks_whatever_it_gets_takes_one_place_and_the_others_are_the_sweep_s(search):
    made = search(30, places={"a:1": 4}, most=2)
    for attempt in range(4):
        breaks(made, f"{attempt}", place="a:1 GPU 0")
    given = [made.suggest(name) for name in "abcd"]
    assert [config is not None for config in given] == [True, True, True, False]


def test_a_node_that_breaks_whatever_it_gets_fails_no_trial_and_is_named_once(search, journal, capfd):
    made = search(9, places={"good:1": 1, "bad:2": 1})
    made.suggest("long")
    given = [breaks(made, f"{attempt}", "bad:2") for attempt in range(30)]
    assert given == [f"{1 + attempt % 8:05}" for attempt in range(30)]
    assert (journal.records, made.lost, made.stop_all()) == ([], [], False)
    assert capfd.readouterr().err.count("as did those before; whatever ends so there runs again") == 1
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
