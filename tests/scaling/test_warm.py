"""Stages of any revision, in a folder of their own. What they find on the real data is tests/e2e's question."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scaling import warm
from scaling.experiments import ExperimentError
from scaling.warm import WorkerError
from tests.scaling import lab

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(pipeline):
    """The finished synthetic project, with code and pipeline, in Git; the working folder."""
    for package in ("digits", "stages"):
        shutil.copytree(ROOT / package, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    lock()
    (pipeline / ".gitignore").write_text("/data/\n/models/\n/results/\n__pycache__/\n")
    lab.git("init", "--quiet")
    lab.commit()
    return pipeline


def lock() -> None:
    """What DVC would say of the files as they are."""
    stages = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
    params = yaml.safe_load(Path("params.yaml").read_text())
    locked = {}
    for name, stage in stages.items():
        files = [Path(out) for out in stage.get("outs", []) if isinstance(out, str) and Path(out).is_file()]
        outs = [
            {"path": str(path), "md5": hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}
            for path in files
        ]
        used = {section: params[section] for section in stage.get("params", [])}
        locked[name] = {"outs": outs, "params": {"params.yaml": used}}
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": locked}))


def found(commit: str | None, folder: Path, seeds: list[int], split: warm.Split = "validation") -> list[float | str]:
    warm.prepare(commit, folder, split)
    return list(warm.scores(folder, seeds, split))


def change(file: str, old: str, new: str) -> None:
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))


def test_a_seed_finds_the_same_whatever_ran_before_and_what_the_stages_find_alone(project, tmp_path):
    change("params.yaml", "learning_rate: 0.05", "learning_rate: 0.0003")  # little is learned, so that seeds differ
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    there, back = found(None, tmp_path / "a", [0, 7]), found(None, tmp_path / "b", [7, 0])
    assert before == {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert there == back[::-1]
    assert there[0] != there[1]
    change("params.yaml", "seed: 0\n  epochs", "seed: 7\n  epochs")
    subprocess.run([sys.executable, "-m", "stages.train"], check=True)
    assert json.loads(Path("results/train/metrics.json").read_text())["validation"]["accuracy"] == there[1]


def test_the_test_images_are_scored_by_the_path_that_ships(project, tmp_path):
    metrics = json.loads(Path("results/evaluate/metrics.json").read_text())
    assert found(None, tmp_path / "a", [0], "test") == [metrics["accuracy"]]
    assert (tmp_path / "a/models/model.onnx").is_file()


def test_each_revision_runs_with_its_own_params_and_code(project, tmp_path):
    own = 'load(TrainParams, "train").learning_rate'
    change("stages/train.py", "round(record.validation_accuracy, 6)", own)
    earlier = lab.commit()
    change("stages/train.py", own, own.replace("learning_rate", "momentum"))
    change("params.yaml", "momentum: 0.9", "momentum: 0.5")
    change("params.yaml", "learning_rate: 0.05", "learning_rate: 0.06")
    assert found(earlier, tmp_path / "earlier", [0]) == [0.05]
    assert found(None, tmp_path / "workspace", [0]) == [0.5]


def test_a_seed_that_fails_is_told_and_the_next_one_runs(project, tmp_path):
    change(
        "stages/train.py",
        "    set_up_torch(params)\n",
        "    set_up_torch(params)\n    if params.seed == 1:\n        raise PipelineError('diverged')\n",
    )
    first, second, third = found(None, tmp_path / "a", [0, 1, 2])
    assert second == "diverged"
    assert isinstance(first, float)
    assert isinstance(third, float)


def test_a_process_that_dies_is_an_error_that_shows_its_last_words(project, tmp_path):
    change("stages/train.py", "    set_up_torch(params)\n", "    raise RuntimeError('of ours')\n")
    with pytest.raises(WorkerError, match=r"(?s)seed 4: .* ended with 1:.*RuntimeError: of ours"):
        found(None, tmp_path / "a", [4])


def test_data_that_are_not_those_of_the_lock_are_refused(project, tmp_path):
    with Path("data/prepared/train.npz").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(ExperimentError, match=r"data/prepared/train\.npz: missing, or not what dvc\.lock names"):
        warm.prepare(None, tmp_path / "a", "validation")


def test_data_that_other_params_made_are_refused(project, tmp_path):
    change("params.yaml", "validation_size: 100", "validation_size: 90")
    with pytest.raises(ExperimentError, match=r"preprocess is not what dvc\.lock says.*`dvc repro preprocess`"):
        warm.prepare(None, tmp_path / "a", "validation")


def test_a_commit_of_another_project_is_refused(project, tmp_path):
    Path("dvc.lock").write_text("stages: {}\n")
    with pytest.raises(ExperimentError, match=r"no stage train, export, evaluate in "):
        warm.prepare(lab.commit(), tmp_path / "a", "test")
