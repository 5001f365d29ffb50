import copy
from typing import Any

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
            "params": {"params.yaml": {"train": {"seed": 0}}},
            "outs": [{"path": "models/model.safetensors", "md5": "3"}],
        },
    },
}


def changed(*path: str | int, to: object = None) -> bytes:
    """Content of dvc.lock after the value at a place became another."""
    lock = copy.deepcopy(LOCK)
    place: Any = lock["stages"]
    for key in path[:-1]:
        place = place[key]
    if path:
        place[path[-1]] = to
    return yaml.safe_dump(lock).encode()


def told(before: bytes | None, after: bytes) -> str:
    """What is said of two versions of dvc.lock."""
    return summary.reproduced({"dvc.lock": before}.get, {"dvc.lock": after}.get)


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
    assert told(None, changed()) == "not committed yet: git add dvc.lock"


def test_same_lock_is_reproduced_to_the_bit():
    assert told(changed(), changed()) == "reproduced to the bit"


def test_changed_outputs_alone_are_the_machine_s():
    answer = told(changed(), changed("train", "outs", 0, "md5", to="9"))
    assert answer.startswith("differs, though nothing was changed: this machine computes other last bits")
    assert answer.endswith(
        "\n                 restore the committed results with: git checkout dvc.lock results && dvc pull"
    )


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        (("train", "params", "params.yaml", "train", "seed"), 5, "train.seed"),
        (("train", "cmd"), "python -m stages.other", "cmd"),
        (("train", "deps", 1, "md5"), "7", "stages/train.py"),
        (("export",), {"cmd": "python -m stages.export"}, "export"),
    ],
)
def test_changed_input_is_named_as_the_cause(path, value, cause):
    for versions in ((changed(), changed(*path, to=value)), (changed(*path, to=value), changed())):
        assert told(*versions).splitlines()[0] == f"differs, because of what you changed: {cause}"


def test_output_of_another_stage_is_no_cause():
    lock = changed("train", "params", "params.yaml", "train", "seed", to=1).replace(b"1.dir", b"5.dir")
    assert told(changed(), lock).splitlines()[0] == "differs, because of what you changed: train.seed"


def test_summary_of_a_finished_run_is_printed(pipeline, capsys):
    (pipeline / "dvc.lock").write_bytes(changed())
    summary.main()
    lines = capsys.readouterr().out.splitlines()
    names = [line.split("  ")[1] for line in lines[1:6]]
    assert names == ["test accuracy", "parameters", "training", "verdict", "dvc.lock"]
    assert lines[2].split() == ["parameters", "1,142"]
    assert lines[3].endswith(" s")
    assert lines[4].endswith("passed: all 3 limits kept")
    assert lines[-1].startswith("Next: ")
