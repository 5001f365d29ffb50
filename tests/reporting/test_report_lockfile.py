import copy
import subprocess

import pytest

from reporting import lockfile

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


@pytest.mark.parametrize(
    ("recorded", "current", "waiting", "said"),
    [
        (LOCK, LOCK, [], "`dvc.lock` is current: nothing had to be trained or run; all results are as committed."),
        (LOCK, LOCK, None, "`dvc.lock` is as committed. DVC could not say whether anything is left to run."),
        (LOCK, LOCK, ["train"], "`dvc.lock` is stale and was not recomputed**: `train` would run"),
        (
            LOCK,
            NEW_MODEL,
            [],
            "`dvc.lock` as committed is stale; recomputed here**: `train`. The model was trained anew.",
        ),
        (LOCK, OTHER_BITS, [], "The same inputs gave other results here**: `train`."),
        ({}, LOCK, [], "`dvc.lock` is not committed.** The model was trained anew."),
        (LOCK, {}, [], "There is no `dvc.lock`"),
    ],
)
def test_state(recorded, current, waiting, said):
    state = lockfile.state(recorded, current, waiting, violated=False)

    assert said in state
    assert (f"Mend it with:\n\n  ```sh\n  {lockfile.MEND}\n  ```" in state) == ("**" in said and current != {})


def test_violated_limits_come_before_mending():
    state = lockfile.state(LOCK, NEW_MODEL, [], violated=True)

    assert "Once the limits are kept, mend it with:\n" in state


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
