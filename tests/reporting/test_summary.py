import subprocess
from pathlib import Path

import pytest
import yaml

from reporting import summary

METRICS = {"accuracy": 0.9934, "accuracy_95": {"low": 0.9916, "high": 0.9948}, "parameters": 22922}
LIMITS = [{"metric": "accuracy", "passed": True}, {"metric": "epochs", "passed": True}]
LOCK = {
    "schema": "2.0",
    "stages": {
        "fetch": {
            "cmd": "python -m stages.fetch",
            "params": {"params.yaml": {"data": {"dataset": "MNIST"}}},
            "outs": [{"path": "data/raw", "md5": "1.dir"}],
        },
        "train": {
            "cmd": "python -m stages.train",
            "deps": [{"path": "data/raw", "md5": "1.dir"}, {"path": "stages/train.py", "md5": "2"}],
            "params": {"params.yaml": {"train.seed": 0}},
            "outs": [{"path": "models/model.safetensors", "md5": "3"}],
        },
    },
}


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def changed(**replacements: str) -> str:
    """Text of dvc.lock after some words were replaced."""
    text = yaml.safe_dump(LOCK)
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    return text


def test_table_of_a_good_model():
    assert dict(summary.table(METRICS, {"limits": LIMITS}, {"seconds": 7.25})) == {
        "test accuracy": "99.34% (95 % interval 99.16% to 99.48%)",
        "parameters": "22,922",
        "training": "7.2 s",
        "verdict": "passed: all 2 limits kept",
    }


def test_violated_limits_are_named():
    limits = [*LIMITS, {"metric": "loss", "passed": False}, {"metric": "errors", "passed": False}]
    assert dict(summary.table(METRICS, {"limits": limits}, None))["verdict"] == "FAILED: loss, errors"


def test_restored_model_has_no_training_time():
    assert dict(summary.table(METRICS, {"limits": LIMITS}, None))["training"] == "not on this machine (restored)"


def test_lock_that_is_not_committed_is_to_be_committed():
    assert summary.reproduced(None, changed()) == "not committed yet: git add dvc.lock"


def test_same_lock_is_reproduced_to_the_bit():
    assert summary.reproduced(changed(), changed()) == "reproduced to the bit"


def test_changed_outputs_alone_are_the_machine_s():
    other = yaml.safe_load(changed())
    other["stages"]["train"]["outs"][0]["md5"] = "9"
    answer = summary.reproduced(changed(), yaml.safe_dump(other))
    assert answer.startswith("differs, though nothing was changed: this machine computes other last bits")
    assert answer.endswith(
        "\n                 restore the committed results with: git checkout dvc.lock results && dvc pull"
    )


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        (("params", "params.yaml", "train.seed"), 5, "train.seed"),
        (("cmd",), "python -m stages.other", "cmd"),
        (("deps", 1, "md5"), "7", "stages/train.py"),
    ],
)
def test_changed_input_is_named_as_the_cause(path, value, cause):
    other = yaml.safe_load(changed())
    place = other["stages"]["train"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    answer = summary.reproduced(changed(), yaml.safe_dump(other))
    assert answer.splitlines()[0] == f"differs, because of what you changed: {cause}"


def test_output_of_another_stage_is_no_cause():
    other = changed(**{"1.dir": "5.dir", "seed: 0": "seed: 1"})
    assert summary.inputs_changed(LOCK["stages"], yaml.safe_load(other)["stages"]) == {"train.seed"}


def test_new_and_removed_stages_are_causes():
    fewer = {"fetch": LOCK["stages"]["fetch"]}
    assert summary.inputs_changed(fewer, LOCK["stages"]) == {"train"}
    assert summary.inputs_changed(LOCK["stages"], fewer) == {"train"}


def test_committed_lock_is_that_of_the_last_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert summary.committed_lock() is None
    git("init", "--quiet")
    Path("dvc.lock").write_text("committed\n")
    git("add", "dvc.lock")
    assert summary.committed_lock() is None
    git("commit", "--quiet", "-m", "lock")
    Path("dvc.lock").write_text("changed\n")
    assert summary.committed_lock() == "committed\n"


def test_summary_of_a_finished_run_is_printed(pipeline, capsys):
    (pipeline / "dvc.lock").write_text(changed())
    summary.main()
    lines = capsys.readouterr().out.splitlines()
    names = [line.split("  ")[1] for line in lines[1:6]]
    assert names == ["test accuracy", "parameters", "training", "verdict", "dvc.lock"]
    assert lines[2].split() == ["parameters", "1,142"]
    assert lines[3].endswith(" s")
    assert lines[4].endswith("passed: all 3 limits kept")
    assert lines[-1].startswith("Next: ")
