import copy
import subprocess

import pytest

from reporting import lockfile
from reporting.repro import Repro

LOCK = {
    "train": {
        "cmd": "python -m stages.train",
        "deps": [{"path": "data.npz", "md5": "d1"}, {"path": "stages/train.py", "md5": "c1"}],
        "params": {"params.yaml": {"train": {"learning_rate": 0.2, "seed": 0}}},
        "outs": [{"path": "model", "md5": "m1"}],
    },
    "check": {"cmd": "python -m stages.check", "deps": [{"path": "model", "md5": "m1"}], "outs": []},
}


def changed(**values):
    """LOCK after values were put at places such as `train__outs__0__md5`."""
    lock = copy.deepcopy(LOCK)
    for place, value in values.items():
        *path, last = [int(part) if part.isdigit() else part for part in place.split("__")]
        target = lock
        for part in path:
            target = target[part]
        target[last] = value
    return lock


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"train__params": {"params.yaml": {"train": {"learning_rate": 0.1, "seed": 0}}}},
         "`train.learning_rate` `0.2` → `0.1`"),
        ({"train__params": {"params.yaml": {"train": {"seed": 0}}}}, "`train.learning_rate`"),
        ({"train__deps__1__md5": "c2"}, "`stages/train.py`"),
        ({"train__cmd": "rm -rf"}, "its command"),
        ({"train__outs__0__md5": "m2"}, "the same inputs, another result: `model`"),
    ],
)  # fmt: skip
def test_why_a_stage_differs(values, reason):
    changes = lockfile.changes(LOCK, changed(**values))

    assert list(changes) == ["train"]
    assert str(changes["train"]) == reason


def test_what_another_stage_wrote_is_told_from_what_a_person_changed():
    after = changed(train__deps__1__md5="c2", train__outs__0__md5="m2", check__deps__0__md5="m2")

    assert {name: str(change) for name, change in lockfile.changes(LOCK, after).items()} == {
        "train": "`stages/train.py`",
        "check": "other input: `model`",
    }


def test_new_and_removed_stages():
    fewer = {"train": LOCK["train"]}

    assert str(lockfile.changes(fewer, LOCK)["check"]) == "new stage"
    assert str(lockfile.changes(LOCK, fewer)["check"]) == "stage removed"
    assert lockfile.changes(LOCK, LOCK) == {}


NEW_MODEL = changed(train__deps__1__md5="c2", train__outs__0__md5="m2")
OTHER_BITS = changed(train__outs__0__md5="m2")
NOTHING, TRAINED, RESTORED = Repro([], [], []), Repro(["train"], [], []), Repro([], ["train"], [])
FAILED = Repro(["check"], [], ["check"])


@pytest.mark.parametrize(
    ("recorded", "current", "waiting", "did", "said"),
    [
        (LOCK, LOCK, [], None, "`dvc.lock` is current: `dvc repro` has nothing to run; all results are as committed."),
        (
            LOCK,
            LOCK,
            [],
            NOTHING,
            "`dvc.lock` is current: nothing had to be trained or run; all results are as committed.",
        ),
        (LOCK, LOCK, [], RESTORED, "`dvc.lock` is current: nothing had to be trained or run;"),
        (
            LOCK,
            LOCK,
            [],
            TRAINED,
            "**Not all that `dvc.lock` names could be restored; run again here, with the same results**: `train`. The "
            "model was trained anew.",
        ),
        (LOCK, LOCK, None, None, "`dvc.lock` is as committed. DVC could not say whether anything is left to run."),
        (LOCK, LOCK, ["train"], None, "`dvc.lock` is stale and was not recomputed**: `train` would run"),
        (
            LOCK,
            NEW_MODEL,
            [],
            None,
            "`dvc.lock` as committed is stale; recomputed here**: `train`. The model was trained anew.",
        ),
        (
            LOCK,
            NEW_MODEL,
            [],
            RESTORED,
            "`dvc.lock` as committed is stale; restored here from DVC's cache**: `train`. Nothing was trained.",
        ),
        (
            LOCK,
            NEW_MODEL,
            [],
            Repro(["check"], ["train"], []),
            "stale; recomputed here**: `check`; restored from DVC's cache: `train`. Nothing was trained.",
        ),
        (LOCK, OTHER_BITS, [], None, "The same inputs gave other results here**: `train`."),
        ({}, LOCK, [], None, "`dvc.lock` is not committed.** The model was trained anew."),
        (LOCK, {}, [], None, "There is no `dvc.lock`"),
    ],
)
def test_state(recorded, current, waiting, did, said):
    state = lockfile.state(recorded, current, waiting, did=did)

    assert said in state
    assert (f"Mend it with:\n\n  ```sh\n  {lockfile.mend()}\n  ```" in state) == ("**" in said and current != {})


@pytest.mark.parametrize(("did", "trained"), [(None, ""), (FAILED, " Nothing was trained.")])
def test_a_failed_check_is_not_what_dvc_lock_holds(did, trained):
    state = lockfile.state(LOCK, LOCK, [], did=did, failed=True)

    assert state == f"`dvc.lock` is as committed, and holds nothing of `check`, which failed.{trained}"


def test_a_failed_check_did_not_end_with_the_same_results():
    state = lockfile.state(LOCK, LOCK, [], did=Repro(["train", "check"], [], ["check"]), failed=True)

    assert "run again here, with the same results**: `train`. The model" in state


def test_violated_limits_come_before_mending():
    state = lockfile.state(LOCK, NEW_MODEL, [], failed=True)

    assert "Once the limits are kept, mend it with:\n" in state


def test_what_mends_it_is_not_told_twice():
    assert lockfile.state(LOCK, NEW_MODEL, [], told=True).endswith("The figures below are the new ones.")


def test_what_happened_to_each_stage():
    changed = lockfile.changes(LOCK, NEW_MODEL)

    assert lockfile.in_this_run(changed, None, failed=False) == {"train": "ran: `stages/train.py`"}
    assert lockfile.in_this_run(changed, RESTORED, failed=False) == {"train": "from DVC's cache: `stages/train.py`"}
    assert lockfile.in_this_run({}, RESTORED, failed=False) == {}
    assert lockfile.in_this_run({}, Repro(["train", "check"], [], ["check"]), failed=True) == {
        "train": "ran: the same inputs, the same result",
        "check": "failed: `dvc.lock` keeps nothing of a failed stage",
    }


STALE = """\
Stage 'preprocess' didn't change, skipping
Running stage 'train':
> python -m stages.train
Running stage 'check':
> python -m stages.check
"""


@pytest.mark.parametrize(
    ("output", "error", "stages"),
    [
        (STALE, "", ["train", "check"]),
        # Nothing has been pulled: a stage that would run can't read its inputs.
        ("Stage 'fetch' didn't change\n", "ERROR: failed to reproduce 'train': [Errno 2] no such file\n", ["train"]),
        (STALE, "ERROR: failed to reproduce 'check': output 'a' does not exist\n", ["train", "check"]),
        ("Data and pipelines are up to date.\n", "", []),
    ],
)
def test_what_dvc_would_run(monkeypatch, output, error, stages):
    answer = subprocess.CompletedProcess(lockfile.DRY_RUN, 255 if error else 0, stdout=output, stderr=error)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)

    assert lockfile.dry_run() == lockfile.waiting() == stages


def test_dvc_s_own_words_say_why_it_can_t_tell(monkeypatch):
    answer = subprocess.CompletedProcess(lockfile.DRY_RUN, 255, stdout="", stderr="ERROR: unable to acquire lock\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)

    with pytest.raises(lockfile.DryRunError, match="allow-missing: ERROR: unable to acquire lock"):
        lockfile.dry_run()
    assert lockfile.waiting() is None


def test_without_dvc_nobody_knows(monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(lockfile.DryRunError, match="dvc"):
        lockfile.dry_run()
    assert lockfile.waiting() is None
