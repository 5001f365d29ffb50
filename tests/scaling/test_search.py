import json

from ray.tune.search import Searcher

from scaling.space import parse
from tests.scaling.answers import number, result


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


def test_a_driver_that_is_asked_for_fewer_trials_runs_what_is_missing_of_them(search):
    first = search(9)
    for name in "abcde":
        first.suggest(name)
    for name in "ace":
        first.on_trial_complete(name, result("finished"))
    second = search(4)
    assert number(second.suggest("x")) == "00001"
    assert second.suggest("y") is None
    assert search(3).suggest("z") == Searcher.FINISHED


def test_another_device_than_that_of_the_others_is_told_once(search, journal, capfd):
    made = search(3)
    for name in "abc":
        made.suggest(name)
    made.on_trial_complete("a", result("finished", device="cuda, H100"))
    made.on_trial_complete("b", result("finished", device="cuda, H100"))
    assert capfd.readouterr().err == ""
    resumed = search(9)
    for name in "xy":
        resumed.suggest(name)
        resumed.on_trial_complete(name, result("finished"))
    told = "warning: trial 00002 was computed with cpu, AVX2, others with cuda, H100: "
    assert capfd.readouterr().err == told + "the same settings would differ there by rounding\n"


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


def test_a_node_on_which_workers_die_takes_no_trial_s_lives_where_another_works(search, capfd):
    made = search(9, places={"good:1": 1, "bad:2": 1})
    for attempt in range(40):
        name = f"{attempt}"
        made.suggest(name)
        made(name, result(None, (), node="bad:2"))
        made.on_trial_complete(name, error=True)
    told = capfd.readouterr().err
    assert told.count("has lost its worker on node bad:2; it runs again") == 3
    assert told.count("has lost its worker on node bad:2, as did those before; whatever ends so there runs again") == 1
    assert (made.lost, made.stop_all()) == ([], False)


def test_where_workers_die_everywhere_trials_are_left_out_in_the_end(search):
    made = search(4, places={"a:1": 2})
    names = iter(range(99))
    running = []
    while (config := made.suggest(name := f"{next(names)}")) != Searcher.FINISHED:
        if config:
            made(name, result(None, ()))
            running.append(name)
        if len(running) == 2 or not config:
            made.on_trial_complete(running.pop(0), error=True)
    assert sorted(made.lost) == [0, 1, 2, 3]


def test_a_trial_that_is_not_heard_of_any_more_is_told_once(search, capfd, monkeypatch):
    """From its beginning on, however long it takes to measure for the first time."""
    now = [0.0]
    monkeypatch.setattr("scaling.search.time.monotonic", lambda: now[0])
    made = search(20)
    for name in "ab":
        made.suggest(name)
        made(name, result(None, ()))
    for _ in range(20):
        now[0] += 100
        made("b", result(None))
        made.suggest("none left")
        if now[0] == 900:
            assert capfd.readouterr().err == ""
        if now[0] == 1500:
            made("a", result(None))  # it did not hang, so the next time it takes as long as that
    assert capfd.readouterr().err == (
        "warning: trial 00000 has measured nothing for 15 minutes, on node a:1; if it hangs, end its process 4711 "
        "there, and it runs again\n"
    )


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


def test_a_trial_that_lost_its_worker_as_the_space_was_used_up_still_runs(search, journal):
    made = search(9, parse({"train.batch_size": {"choice": [16, 32]}}), places={"a:1": 1})
    made.suggest("a")
    made.on_trial_complete("a", error=True)
    assert number(made.suggest("b")) == "00001"
    made.on_trial_complete("b", result("finished"))
    while (config := made.suggest("c")) is None:
        pass
    assert number(config) == "00000"
    made.on_trial_complete("c", result("finished"))
    assert made.suggest("d") == Searcher.FINISHED
    assert [record["trial"] for record in journal.records] == ["00001", "00000"]


def test_a_space_in_which_nothing_goes_together_ends_the_sweep(search):
    made = search(9, parse({"model.kernels": {"choice": [[27, 5]]}}))
    assert made.suggest("a") == Searcher.FINISHED
    assert "nothing in the space goes together" in str(made.problem)
