"""What breaks off: nothing finished is lost, nothing half is used, and the next `dvc repro` recovers."""

import hashlib
import shutil

import pytest

from tests.e2e.project import STAGES

pytestmark = pytest.mark.e2e

# The file that each stage is about to finish when it is stopped, its work on it done and the file still without a name:
# the second of fetch's and preprocess's four, the last output of train, export and check, evaluate's fourth of seven.
HALFWAY = {
    "fetch": "train-labels-idx1-ubyte.gz",
    "preprocess": "validation.npz",
    "train": "model.safetensors",
    "export": "model.onnx",
    "evaluate": "predictions.npz",
    "check": "model_card.md",
}


def expected_lock(project, changed):
    """The lock of an undisturbed run after `changed`, a file that changes no stage's output, was edited."""
    content, lock = (project / changed).read_bytes(), project.lock
    for stage in lock.values():
        for dep in stage["deps"]:
            if dep["path"] == changed:
                dep |= {"md5": hashlib.md5(content).hexdigest(), "size": len(content)}
    return lock


def leftovers(project):
    return [path for folder in ("data", "models", "results") for path in (project / folder).rglob("*.part")]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_killed_halfway_is_made_up_for(project, tmp_path, stage):
    finished = project.outputs()
    project.comment(f"stages/{stage}.py")
    lock, undisturbed = (project / "dvc.lock").read_bytes(), expected_lock(project, f"stages/{stage}.py")
    mirror = shutil.copytree(project / "data/raw/MNIST", tmp_path / "mirror")
    if stage == "fetch":
        for archive in (project / "data/raw/MNIST").glob("train-*"):
            archive.unlink()
    env = {"MNIST_MIRRORS": mirror.as_uri()}

    project.held(stage, HALFWAY[stage], tmp_path, env=env).kill()

    assert (project / "dvc.lock").read_bytes() == lock
    assert leftovers(project)
    for name, content in project.outputs().items():  # each whole, or not there
        assert content in (None, finished.get(name)) or name.endswith(".part")

    assert project.repro(env=env) == (stage,)
    assert project.lock == undisturbed
    assert project.outputs() == finished
    assert not leftovers(project)


def test_training_that_is_killed_within_the_epoch_is_made_up_for(project, tmp_path):
    finished, losses = project.outputs(), "results/train/plots/metrics/train/loss.tsv"
    (project / losses).unlink()  # so that what appears is the new run's: DVCLive writes it in place, row by row
    project.comment("stages/train.py")
    lock, undisturbed = (project / "dvc.lock").read_bytes(), expected_lock(project, "stages/train.py")

    def rows():
        return len((project / losses).read_bytes().splitlines()) - 1 if (project / losses).exists() else 0

    running = project.started(tmp_path)
    running.wait_for(lambda: rows() > 0)
    running.kill()

    assert 0 < rows() < len(finished[losses].splitlines()) - 1
    assert (project / "dvc.lock").read_bytes() == lock
    models = {f"models/{path.name}": path.read_bytes() for path in (project / "models").iterdir()}
    assert models == {name: finished[name] for name in models}  # whole, if there
    assert "models/model.safetensors" not in models

    assert project.repro() == ("train",)
    assert project.lock == undisturbed
    assert project.outputs() == finished
    assert not leftovers(project)


TOO_LARGE = "File too large\n  raise the file-size limit (`ulimit -f`), then run the same command again"
# The largest file that the stage may write, and what it says of the first one that does not fit.
FULL = {
    "fetch": (1_000_000, f"data/raw/MNIST/train-images-idx3-ubyte.gz: {TOO_LARGE}"),
    "preprocess": (1_000_000, f"data/prepared/train.npz: {TOO_LARGE}"),
    "train": (
        90_000,
        ".dvc: a database of DVC can't be written (disk I/O error)\n"
        "  free some space, then run the same command again: finished outputs are kept",
    ),
    "export": (10_000, f"models/model.onnx: {TOO_LARGE}"),
    "evaluate": (700_000, f"data/traffic.npz: {TOO_LARGE}"),
    "check": (1_000, f"results/check/verdict.json: {TOO_LARGE}"),
}


@pytest.mark.parametrize("stage", FULL)
def test_a_full_disk_is_named_and_costs_nothing(project, tmp_path, stage):
    size, said = FULL[stage]
    finished = project.outputs()
    for compiled in project.path.glob("*/__pycache__"):
        shutil.rmtree(compiled)
    project.comment(f"stages/{stage}.py")
    lock, undisturbed = (project / "dvc.lock").read_bytes(), expected_lock(project, f"stages/{stage}.py")
    env = {"MNIST_MIRRORS": shutil.copytree(project / "data/raw/MNIST", tmp_path / "mirror").as_uri()}
    if stage == "fetch":
        (project / "data/raw/MNIST/train-images-idx3-ubyte.gz").unlink()

    # A limit on the size of the stage's files stands in for the end of the disk: the same calls fail.
    output = project.dvc("repro", fails=True, env=env | {"LIMIT_FILES": str(size)})

    assert f"error: {said}" in output
    assert "Traceback" not in output
    # Nothing compiled that a full disk could have cut short, for that would stop every later run. What fits into one
    # block of the disk is whole or empty, and an empty one Python makes anew.
    left = [*project.path.glob("*/__pycache__/*")]
    assert all(compiled.name.startswith("__init__.") and compiled.stat().st_size < 4096 for compiled in left), left
    assert (project / "dvc.lock").read_bytes() == lock
    assert not leftovers(project)
    for name, content in project.outputs().items():
        assert content in (None, finished[name])

    assert project.repro(env=env) == (stage,)
    assert project.lock == undisturbed
    assert project.outputs() == finished


def test_a_disk_that_is_full_when_dvc_keeps_an_output_costs_nothing(project):
    lock, cached = project.lock, sorted(project.path.glob(".dvc/cache/files/md5/??/*"))
    project.set(evaluate__seed=9)
    # More than its databases, and less than data/traffic.npz.
    output = project.dvc("repro", fails=True, env={"LIMIT_DVC": "900000"})

    assert "File too large" in output
    assert project.lock == lock
    assert not leftovers(project)

    assert project.repro() == ("evaluate", "check")
    new = {out["path"]: out["md5"] for out in project.lock["evaluate"]["outs"]}
    assert new["data/traffic.npz"] != next(
        o["md5"] for o in lock["evaluate"]["outs"] if o["path"] == "data/traffic.npz"
    )
    assert all(hashlib.md5((project / path).read_bytes()).hexdigest() == md5 for path, md5 in new.items())
    for kept in {path for path in project.path.glob(".dvc/cache/files/md5/??/*") if path.suffix != ".tmp"} - set(
        cached
    ):
        assert hashlib.md5(kept.read_bytes()).hexdigest() == kept.parent.name + kept.name
    assert project.repro() == ()


def test_a_second_repro_is_refused_while_one_runs(project, tmp_path):
    project.comment("stages/evaluate.py")
    undisturbed, finished = expected_lock(project, "stages/evaluate.py"), project.outputs()
    first = project.held("evaluate", HALFWAY["evaluate"], tmp_path)
    try:
        output = project.dvc("repro", fails=True)
    finally:
        log = first.finish()

    assert "is busy, it is being blocked by:" in output
    assert "Running stage 'evaluate'" in log
    assert project.lock == undisturbed
    assert project.outputs() == finished
    assert project.repro() == ()
