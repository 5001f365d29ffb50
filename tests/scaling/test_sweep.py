import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

from digits.errors import PipelineError
from scaling import records, sweep
from scaling.nodes import Spec
from scaling.settings import base
from scaling.sweep import SweepError, fresh, parsed, resumed, summary
from tests import synthetic
from tests.scaling.test_records import ended

SPEC = Spec("/here", None, "a" * 40, {"data/prepared/train.npz": "0" * 32}, {"torch": "2.14.1"}, "c" * 64)
SPACE = "train.seed: { choice: [1, 2] }\n"


@pytest.fixture(autouse=True)
def _space(workspace):
    (workspace / "space.yaml").write_text(SPACE)


@pytest.fixture
def arguments(monkeypatch):
    def made(*given):
        monkeypatch.setattr(sys, "argv", ["sweep", *given])
        return parsed()

    return made


def begun(arguments, *more, name="one"):
    name, wanted = fresh(arguments("--space=space.yaml", "--trials=4", f"--name={name}", *more), SPEC)
    with records.begin(name, wanted) as journal:
        journal.append(ended(0))
    return wanted


def test_a_sweep_is_described_by_all_that_its_trials_depend_on(arguments):
    assert begun(arguments, "--keep=0", "--seed=7") == {
        "space": {"train.seed": {"choice": [1, 2]}},
        "trials": 4,
        "seed": 7,
        "keep": 0,
        "commit": "a" * 40,
        "code": "c" * 64,
        "data": {"data/prepared/train.npz": "0" * 32},
        "params": base(),
        "versions": {"torch": "2.14.1", "optuna": metadata.version("optuna")},
    }


def test_its_trials_may_take_another_number_of_processors_than_params_yaml_says_also_when_it_goes_on(arguments):
    synthetic.write_params(Path(), train={"threads": 2})
    wanted = begun(arguments, "--threads=3")
    assert wanted["params"]["train"]["threads"] == 3
    assert wanted["params"] | {"train": base()["train"]} == base()
    assert resumed(arguments("--resume=one"), SPEC) == ("one", wanted)
    with pytest.raises(PipelineError, match=r"train\.threads: 0 is out of range"):
        begun(arguments, "--threads=0", name="none")


def test_a_name_is_given_once(arguments):
    begun(arguments)
    with pytest.raises(SweepError, match=r"sweeps/one: is there; go on with it by RESUME=one, or give another NAME="):
        begun(arguments)


def test_a_mistake_in_the_space_leaves_no_sweep_behind(arguments, workspace):
    (workspace / "space.yaml").write_text("train.epochs: { choice: [0] }")
    with pytest.raises(PipelineError, match=r"space\.yaml: train\.epochs: 0 is out of range"):
        begun(arguments)
    assert not (workspace / "sweeps").exists()


def test_a_resumed_sweep_is_what_it_was(arguments):
    wanted = begun(arguments)
    assert resumed(arguments("--resume=one"), SPEC) == ("one", wanted)


def test_a_resumed_sweep_may_have_more_trials_and_keep_more(arguments):
    wanted = begun(arguments)
    assert resumed(arguments("--resume=one", "--trials=9", "--keep=5"), SPEC)[1] == wanted | {"trials": 9, "keep": 5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"code": "d" * 64}, "was begun with code another one, not this, so its trials can't be compared"),
        ({"data": {}}, f"was begun with data other ones, not these, .*; go back to {'a' * 40}, or begin a new"),
        ({"versions": {"torch": "3"}}, r"was begun with versions \{'torch': '2\.14\.1', .*\}, not \{'torch': '3', "),
    ],
)
def test_a_sweep_does_not_go_on_with_something_else(arguments, changes, message):
    begun(arguments)
    now = Spec(**(vars(SPEC) | changes))
    with pytest.raises(SweepError, match=f"sweeps/one: {message}"):
        resumed(arguments("--resume=one"), now)


def test_a_commit_of_the_same_code_is_told_and_hinders_nobody(arguments, capsys):
    wanted = begun(arguments)
    now = Spec(**(vars(SPEC) | {"commit": "b" * 40}))
    assert resumed(arguments("--resume=one"), now) == ("one", wanted)
    told = f"sweep one: begun with commit {'a' * 40}, goes on with {'b' * 40}; the code is the same\n"
    assert capsys.readouterr().out == told


def test_a_sweep_of_which_nobody_noted_the_code_does_not_go_on(arguments):
    wanted = begun(arguments)
    del wanted["code"]
    records.write_json(records.folder("one") / records.DESCRIPTION, wanted)
    with pytest.raises(SweepError, match="was begun with code another one"):
        resumed(arguments("--resume=one"), SPEC)


def test_a_sweep_does_not_go_on_with_other_params(arguments, workspace):
    begun(arguments)
    synthetic.write_params(workspace, train={"epochs": 2})
    with pytest.raises(SweepError, match="was begun with params other ones"):
        resumed(arguments("--resume=one"), SPEC)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), r"how many trials\? give --trials \(make sweep TRIALS=200\), or --resume=NAME"),
        (("--trials=0",), "how many trials"),
        (("--trials=4", "--workers=0"), "--workers: at least 1"),
        (("--trials=many",), "a whole number from 0 to 99999, found 'many'"),
        (("--trials=100000",), "a whole number from 0 to 99999"),
        (("--resume=one", "--space=x"), "give --resume no --space, --name, --seed or --threads"),
        (("--resume=one", "--threads=1"), "give --resume no --space"),
        (("--resume=one", "--seed=0"), "give --resume no --space"),
    ],
)
def test_what_can_t_be_meant_is_refused(arguments, capsys, given, message):
    with pytest.raises(SystemExit, match="2"):
        arguments(*given)
    assert re.search(message, capsys.readouterr().err)


def test_the_summary_shows_the_best_and_counts_the_rest():
    trials = [
        ended(0, validation_accuracy=0.91),
        ended(1, validation_accuracy=0.93, parameters=2000),
        ended(2, validation_accuracy=0.93, parameters=1000),
        ended(3, state="stopped", validation_accuracy=0.99),
        ended(4, state="failed", validation_accuracy=None, error="why"),
    ]
    lines = summary(trials).splitlines()
    assert lines[0] == "3 finished, 1 stopped, 1 failed; the best by validation accuracy:"
    assert [line.split()[0] for line in lines[1:]] == ["00002", "00001", "00000"]
    assert lines[1].split() == ["00002", "0.9300", "1,000", "parameters", "seed", "2"]


def test_a_sweep_in_which_nothing_finished_is_an_error_that_says_why():
    with pytest.raises(SweepError, match="no trial has finished; the loss became nan"):
        summary([ended(0, state="failed", validation_accuracy=None, error="the loss became nan")])


def test_so_is_one_of_which_every_trial_was_left_out():
    with pytest.raises(SweepError, match="no trial has finished; without a record: 00000"):
        summary([], "without a record: 00000")


@pytest.fixture
def driven(monkeypatch):
    """`main` without Ray: `drive` is what the test wants it to be."""

    def made(drive, *given, outcome=(), write=None, describe=lambda address, repository: SPEC):
        kept = []
        monkeypatch.setattr(sweep.source, "describe_code", describe)
        monkeypatch.setattr(sweep, "drive", drive)
        monkeypatch.setattr(sweep.keep, "keep", lambda name, count: kept.append((name, count)) or outcome)
        monkeypatch.setattr(sweep.frontier, "write", write or kept.append)
        monkeypatch.setattr(sys, "argv", ["sweep", *given])
        sweep.main()
        return kept

    return made


NEW = ("--space=space.yaml", "--trials=2", "--name=one")


def finish(name, wanted, journal, spec, address, *, most):
    for number in range(len(journal.records), wanted["trials"]):
        journal.append(ended(number))


def test_after_the_last_trial_the_best_are_kept_and_the_frontier_drawn(driven, capsys):
    assert driven(finish, *NEW) == [("one", 3), "one"]
    assert capsys.readouterr().out.startswith("sweep one: 0 of 2 trials have ended\n2 finished, 0 stopped")


def test_a_trial_that_did_not_become_an_experiment_is_an_error(driven):
    failed = sweep.keep.Kept("00001", "sweep-one-00001", None, [], [], "no room")
    with pytest.raises(sweep.keep.KeepError, match="sweep-one-00001"):
        driven(finish, *NEW, outcome=[failed])
    assert (records.folder("one") / "trials.jsonl").exists()


def test_a_trial_that_was_left_out_keeps_no_other_from_becoming_an_experiment(driven):
    done = []

    def but_one(name, wanted, journal, spec, address, *, most):
        journal.append(ended(1))
        return "without a record: 00000"

    with pytest.raises(SweepError, match=r"^without a record: 00000\n  .* make sweep RESUME=one$"):
        driven(but_one, *NEW, write=done.append)
    assert done == ["one"]


def test_none_is_kept_where_none_is_wanted(driven):
    assert driven(finish, *NEW, "--keep=0") == ["one"]


def test_a_finished_sweep_starts_no_ray(driven):
    driven(finish, *NEW)

    def never(*_):
        raise AssertionError

    assert driven(never, "--resume=one") == [("one", 3), "one"]


def test_ctrl_c_says_how_to_go_on(driven, capsys):
    def interrupted(name, wanted, journal, spec, address, *, most):
        journal.append(ended(0))
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="130"):
        driven(interrupted, *NEW)
    assert capsys.readouterr().err == "\ninterrupted; what has ended is kept, go on with: make sweep RESUME=one\n"
    assert driven(finish, "--resume=one") == [("one", 3), "one"]
    assert [record["trial"] for record in records.read("one")] == ["00000", "00001"]


def test_ctrl_c_while_the_best_are_kept_says_how_to_go_on(driven, capsys):
    def interrupted(folder):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="130"):
        driven(finish, *NEW, write=interrupted)
    assert capsys.readouterr().err.endswith("go on with: make sweep RESUME=one\n")


def test_a_mistake_in_the_space_is_said_before_anything_is_fetched(driven, workspace):
    (workspace / "space.yaml").write_text("train.epochs: { choice: [0] }")
    with pytest.raises(PipelineError, match="0 is out of range"):
        driven(finish, *NEW, describe=lambda *_: pytest.fail("fetched"))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PipelineError("no worker can run trials"), "no worker can run trials"),
        (OSError(28, "No space left on device", "sweeps/one/trials.jsonl"), "sweeps/one/trials.jsonl: No space left"),
    ],
)
def test_what_stops_a_sweep_says_how_to_go_on(driven, error, message):
    def refused(name, wanted, journal, spec, address, *, most):
        raise error

    with pytest.raises(
        SweepError, match=rf"(?s)^{message}.*\n  what has ended is kept, go on with: make sweep RESUME=one"
    ):
        driven(refused, *NEW)


def test_the_cluster_is_the_one_that_the_environment_names(driven, monkeypatch):
    seen = []

    def see(name, wanted, journal, spec, address, *, most):
        seen.append(address)
        finish(name, wanted, journal, spec, address, most=most)

    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    driven(see, *NEW)
    assert seen == ["10.0.0.1:6379"]
