import copy
import hashlib
import json
from typing import Any

import pytest
import yaml

from digits.storage import write_json
from reporting import summary, verify

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
            "deps": [
                {"path": "data/raw", "md5": "1.dir"},
                {"path": "stages/train.py", "md5": "2"},
                {"path": "data/production", "md5": "4.dir"},
            ],
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


def told(before: bytes | None, after: bytes, computed: bool = True) -> str:
    """What is said of two versions of dvc.lock."""
    return summary.reproduced({"dvc.lock": before}.get, {"dvc.lock": after}.get, computed=computed)


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


def test_what_was_computed_elsewhere_was_not_reproduced():
    assert told(changed(), changed(), computed=False) == "is as committed (restored, not computed on this machine)"


@pytest.mark.parametrize(
    ("noted", "found"),
    [({"seconds": 7.0, "weights_md5": "3"}, True), ({"seconds": 7.0, "weights_md5": "4"}, False), (None, False)],
)
def test_a_training_counts_for_the_weights_that_came_of_it(workspace, noted, found):
    if noted:
        write_json(summary.TIMES, noted)
    assert summary.trained_here(LOCK["stages"]) == (noted if found else None)


def test_a_lock_without_weights_was_trained_nowhere(workspace):
    write_json(summary.TIMES, {"seconds": 7.0})  # as an earlier version of the stage wrote it
    assert summary.trained_here({}) is None


def test_changed_outputs_alone_are_the_machine_s():
    answer = told(changed(), changed("train", "outs", 0, "md5", to="9"))
    assert answer.startswith("differs, though nothing was changed: this machine computes other last bits")
    assert answer.endswith(
        "\n                 restore the committed results with: git checkout dvc.lock results && dvc pull"
    )


@pytest.mark.parametrize(
    ("path", "value", "cause", "file"),
    [
        (("train", "params", "params.yaml", "train", "seed"), 5, "train.seed", "params.yaml"),
        (("train", "cmd"), "python -m stages.other", "cmd", "dvc.yaml"),
        (("train", "deps", 1, "md5"), "7", "stages/train.py", "stages/train.py"),
        (("train", "deps", 2, "md5"), "7.dir", "data/production", "data/production.dvc"),
        (("export",), {"cmd": "python -m stages.export"}, "export", "dvc.yaml"),
    ],
)
def test_changed_input_is_named_as_the_cause_and_so_is_the_file_that_undoes_it(workspace, path, value, cause, file):
    (workspace / "data").mkdir()
    (workspace / "data/production.dvc").touch()
    for versions in ((changed(), changed(*path, to=value)), (changed(*path, to=value), changed())):
        what, undone = told(*versions).splitlines()
        assert what == f"differs, because of what you changed: {cause}"
        assert undone.endswith(f"restore the committed results with: git checkout dvc.lock results {file} && dvc pull")


def test_output_of_another_stage_is_no_cause():
    lock = changed("train", "params", "params.yaml", "train", "seed", to=1).replace(b"1.dir", b"5.dir")
    assert told(changed(), lock).splitlines()[0] == "differs, because of what you changed: train.seed"


def test_summary_of_a_finished_run_is_printed(pipeline, capsys):
    weights = hashlib.md5((pipeline / summary.WEIGHTS).read_bytes()).hexdigest()
    (pipeline / "dvc.lock").write_bytes(changed("train", "outs", 0, "md5", to=weights))
    summary.main()
    lines = capsys.readouterr().out.splitlines()
    names = [line.split("  ")[1] for line in lines[1:6]]
    assert names == ["test accuracy", "parameters", "training", "verdict", "dvc.lock"]
    assert lines[2].split() == ["parameters", "1,142"]
    assert lines[3].endswith(" s")
    assert lines[4].endswith("passed: all 3 limits kept")
    assert lines[-1].startswith("Next: ")


def test_what_failed_is_not_said_to_be_reproduced(pipeline, capsys):
    (pipeline / "dvc.lock").write_bytes(changed())
    verdict = json.loads(summary.VERDICT.read_text())
    write_json(summary.VERDICT, verdict | {"passed": False})
    summary.main()
    lock = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  dvc.lock"))
    assert (
        lock
        == "  dvc.lock       says nothing new of check, which failed; otherwise not committed yet: git add dvc.lock"
    )


def test_a_damaged_object_of_the_lock_ends_it(pipeline, capsys):
    content, damage = b"as it was", b"damaged"
    md5 = hashlib.md5(content).hexdigest()
    (pipeline / "dvc.lock").write_bytes(changed("train", "outs", 0, "md5", to=md5))
    for name, written in ((md5, damage), ("f" * 32, damage)):  # the second is another experiment's
        path = verify.CACHE / name[:2] / name[2:]
        path.parent.mkdir(parents=True)
        path.write_bytes(written)
    with pytest.raises(SystemExit) as stopped:
        summary.main()
    assert f"damaged in the DVC cache: .dvc/cache/files/md5/{md5[:2]}/{md5[2:]}; mend it with:" in str(stopped.value)
    assert "ffff" not in str(stopped.value)
    assert "Next: " not in capsys.readouterr().out
