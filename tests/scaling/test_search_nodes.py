"""Nodes that refuse, come and go, and how many trials run at once."""

from scaling.search import NoWorkerError
from tests.scaling.answers import number, result


def test_a_trial_that_is_handed_back_when_its_node_is_gone_waits_for_another(search, capfd):
    room = {"a:1": 1}
    made = search(1, places=room)
    made.suggest("a")
    room.clear()
    made.on_trial_complete("a", result("refused", (), error="node a: no data"))
    assert made.suggest("b") is None
    assert not made.stop_all()
    assert "no node is left that could run a trial" in capfd.readouterr().err


def test_a_sweep_that_gets_no_place_says_so_once(search, capfd, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("scaling.search.time.monotonic", lambda: now[0])
    made = search(20)
    for name in "abc":
        made.suggest(name)
        now[0] += 40
    assert capfd.readouterr().err.count("no trial has begun for 60 seconds: another sweep perhaps") == 1


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
    made("long", result(None, (), node="here:1"))
    assert made.suggest("in vain") is None  # nor has it, as long as it has only begun
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
