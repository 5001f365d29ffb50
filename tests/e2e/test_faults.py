"""When things go wrong: nothing finished is lost, nothing wrong is used, and the next `dvc repro` recovers."""

import hashlib
import os
import pickle
import re
import shutil
import stat
from pathlib import Path

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


def damage(path: Path) -> None:
    """Flip a bit."""
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_cache_object_is_made_again(project):
    finished, lock = project.outputs(), project.lock
    damage(project.object("results/evaluate/predictions.npz"))
    (project / "results/evaluate/predictions.npz").unlink()

    assert project.repro() == ("evaluate",)
    assert project.lock == lock
    assert project.outputs() == finished


def test_a_damaged_remote_object_is_not_pulled(checkout, pulled, tmp_path):
    project = checkout.clone(tmp_path / "project")
    damaged = project.object("results/evaluate/predictions.npz", ".dvcstore")
    damage(damaged)
    damaged.chmod(0o444)  # as after `dvc push`: DVC takes a protected object for whole, unless told to verify
    output = project.dvc("pull", fails=True)

    assert "Checkout failed for following targets:\nresults/evaluate/predictions.npz" in output
    arrived = project.outputs()
    assert [name for name, content in arrived.items() if content is None] == ["results/evaluate/predictions.npz"]

    again = project.copy(tmp_path / "again")
    again.sh("git checkout .dvcstore", "dvc pull")
    assert again.outputs() == pulled.outputs()

    # Without a whole copy anywhere: made again, and pushed. DVC pushes only what the remote has no file for.
    assert project.repro() == ("evaluate",)
    project.sh(f"rm -f {damaged.relative_to(project.path)}", "dvc push")
    assert project.outputs() == pulled.outputs()
    assert project.git("status", "--porcelain") == ""


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


MISTAKES = {
    "out of range": (
        {"preprocess.validation_size": 5},
        "preprocess.validation_size: 5 is out of range; allowed: a whole number at least 10 and at most 30000",
    ),
    "missing": ({"evaluate.seed": None}, "missing: evaluate.seed (a whole number at least 0 and below"),
    "mistyped": ({"evaluate.smoke_size": "many"}, "evaluate.smoke_size: expected a whole number at least 10"),
    "not among the choices": (
        {"model.activation": "tanh"},
        "model.activation: expected one of gelu, relu, silu, found 'tanh'",
    ),
    "unknown": ({"train.learning_rat": 0.1}, "train.learning_rat: unknown key; allowed: seed, epochs,"),
    "unknown limit": ({"check.limits.accuracy.over": 0.9}, "check.limits.accuracy.over: unknown key; allowed: above,"),
    "unknown section": ({"serve.port": 80}, "unknown section serve; the sections are data, preprocess, model, train,"),
    "at odds with another": ({"model.pools": [2]}, "model: channels, kernels, paddings and pools need one entry for"),
}


@pytest.fixture(scope="module")
def configured(fast, tmp_path_factory):
    return fast.copy(tmp_path_factory.mktemp("configured") / "project")


@pytest.mark.parametrize(("values", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_params_is_named(configured, values, message):
    params, lock = (configured / "params.yaml").read_text(), (configured / "dvc.lock").read_bytes()
    finished = configured.outputs()
    configured.change(values)
    if "serve.port" in values:  # a section that no stage asks for is seen as soon as any stage runs
        configured.set(evaluate__seed=3)
    output = configured.dvc("repro", fails=True)

    assert f"error: params.yaml: {message}" in output
    assert "Traceback" not in output
    assert (configured / "dvc.lock").read_bytes() == lock

    (configured / "params.yaml").write_text(params)
    # Outputs that DVC took away before the stage come back from its cache; check's are not kept there.
    assert configured.repro() in ((), ("check",))
    assert configured.outputs() == finished


def test_a_read_only_folder_is_named_and_left_as_it_is(project):
    project.comment("stages/check.py")
    lock, finished = (project / "dvc.lock").read_bytes(), project.outputs()
    # The superuser may write anywhere, so it gives that right up.
    ordinary = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    entries = [project.path, *project.path.rglob("*")]
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in entries if not path.is_symlink()}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    try:
        by_dvc = project.run(*ordinary, "dvc", "repro", fails=True)
        by_stage = project.run(*ordinary, "python", "-m", "stages.check", fails=True)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)

    assert "ermission denied" in by_dvc
    assert by_stage.startswith("error: results/check/")
    assert "Permission denied\n  check the permissions of the folder, then run the same command again" in by_stage
    assert (project / "dvc.lock").read_bytes() == lock
    assert project.outputs() == finished
    assert project.repro() == ("check",)


class Payload:
    """What runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


READERS = {"models/model.onnx": ("evaluate", "ONNX model"), "models/model.safetensors": ("export", "model of this")}


@pytest.mark.parametrize("kind", ["garbage", "pickle"])
@pytest.mark.parametrize("file", READERS)
def test_a_file_that_is_no_model_is_refused_and_restored(configured, tmp_path, file, kind):
    stage, expected = READERS[file]
    finished, executed = configured.outputs(), tmp_path / "executed"
    payload = pickle.dumps(Payload(executed))
    (configured / file).write_bytes(b"no model" * 100 if kind == "garbage" else payload)
    output = configured.run("python", "-m", f"stages.{stage}", fails=True)

    assert re.match(rf"error: {file}: not an? {expected}", output)
    assert "remove it, then restore it with `dvc checkout`" in output
    assert "Traceback" not in output
    assert not executed.exists()

    if kind == "garbage":
        assert configured.repro() == ()  # what is there is not what dvc.lock names: DVC puts that back
    else:
        configured.dvc("checkout", "--force", file)
    assert configured.outputs() == finished
    pickle.loads(payload)
    assert executed.exists()  # so it would have been seen
