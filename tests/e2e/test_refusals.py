"""What is damaged, mistaken or not allowed: it is named, nothing wrong is used, and the next `dvc repro` recovers."""

import os
import pickle
import re
import stat
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


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
