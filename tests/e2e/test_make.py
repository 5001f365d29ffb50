"""`make`: the two commands of the README, and what they print."""

import hashlib
import json
import re

import pytest

from tests.e2e.project import BIN, stages_run

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def newcomer(pushed, tmp_path_factory):
    """A fresh clone of a project with the smaller model, with an environment that is installed already."""
    project = pushed.clone(tmp_path_factory.mktemp("newcomer") / "project")
    provide_environment(project)
    return project


def provide_environment(project):
    """The environment that runs these tests, with stamps newer than what it is installed from."""
    stamps = [f"installed{part}" for part in ("", "-serve", "-scale", "-dev", "-prometheus", "-tools")]
    venv = project / ".venv"
    venv.mkdir()
    for part in BIN.parent.iterdir():
        if part.name not in stamps:
            (venv / part.name).symlink_to(part)
    for stamp in stamps:
        (venv / stamp).touch()


@pytest.fixture(scope="module")
def made(newcomer):
    """What the first `make repro` prints."""
    return newcomer.run("make", "repro")


def test_make_alone_lists_every_target(newcomer):
    targets = re.findall(r"^([a-z][a-z-]*):", (newcomer / "Makefile").read_text(), re.MULTILINE)
    listed = dict(re.findall(r"^  make ([a-z-]+) +(\S.*)$", newcomer.run("make"), re.MULTILINE))

    assert list(listed) == targets


def test_repro_pulls_what_it_starts_from_alone_and_trains(made):
    # Verdict and model card are in Git, and come from the same metrics: there is nothing to check again.
    assert stages_run(made) == ("preprocess", "train", "export", "evaluate")
    assert re.findall(r"^A\s+(\S+)$", made, re.MULTILINE) == ["data/raw/", "data/production/"]


def test_repro_ends_with_the_results(made):
    table = made[made.rindex("  test accuracy") :]

    assert re.fullmatch(
        r"  test accuracy  9\d\.\d\d% \(95 % interval 9\d\.\d\d% to 9\d\.\d\d%\)\n"
        r"  parameters     [\d,]+\n"
        r"  training       \d+\.\d s\n"
        r"  verdict        passed: all \d+ limits kept\n"
        r"  dvc\.lock       reproduced to the bit\n"
        r"\n"
        r"Next: .+\n",
        table,
    ), table


def test_a_second_repro_runs_and_pulls_nothing(newcomer, made):
    again = newcomer.run("make", "repro")

    assert "Running stage" not in again
    assert "dvc pull" not in again
    assert "reproduced to the bit" in again


def test_repro_says_what_you_changed(newcomer, made, tmp_path):
    project = newcomer.copy(tmp_path / "project")
    project.set(evaluate__seed=7)
    output = project.run("make", "repro")

    assert "differs, because of what you changed: evaluate.seed\n" in output
    project.sh(restoring(output))
    again = project.run("make", "repro")
    assert "Running stage" not in again
    assert "reproduced to the bit" in again  # the weights are those that were trained here


def restoring(output: str) -> str:
    """The commands that a summary says will restore the committed results."""
    (command,) = re.findall(r"restore the committed results with: (git .+)$", output, re.MULTILINE)
    return command


def test_repro_shows_the_verdict_of_a_model_that_fails(newcomer, made, tmp_path):
    project = newcomer.copy(tmp_path / "project")
    project.set(check__limits__accuracy__above=0.999)
    output = project.run("make", "repro", fails=True)

    assert re.search(r"error: 1 of \d+ limits violated \(see results/check/verdict.json\)", output)
    assert "  verdict        FAILED: accuracy\n" in output
    says = "  dvc.lock       says nothing new of check, which failed; otherwise "
    assert f"{says}reproduced to the bit\n" in output
    metrics = json.loads(project.dvc("metrics", "show", "--json"))[""]["data"]["results/evaluate/metrics.json"]["data"]
    assert f"  test accuracy  {metrics['accuracy']:.2%} (" in output

    project.set(train__learning_rate=0.1)
    output = project.run("make", "repro", fails=True)
    assert f"{says}differs, because of what you changed: train.learning_rate\n" in output
    assert (project / "dvc.lock").read_bytes() != (newcomer / "dvc.lock").read_bytes()
    project.sh(restoring(output))
    restored = project.run("make", "repro")
    assert "Running stage" not in restored
    assert "  training       not on this machine (restored)\n" in restored  # the last training was another model's
    assert "  dvc.lock       is as committed (restored, not computed on this machine)\n" in restored


def test_the_summary_s_own_words_restore_what_another_machine_computed(newcomer, fast, tmp_path):
    project = newcomer.clone(tmp_path / "project")
    project.dvc("pull", "data/raw", "data/production")
    committed = (project / "dvc.lock").read_text()
    # A model with other last bits: in the workspace, in the cache, and in dvc.lock, also as what the next stage read.
    before, other = project.object("models/model.onnx"), b"other last bits"
    was, now = before.parent.name + before.name, hashlib.md5(other).hexdigest()
    (project / "dvc.lock").write_text(committed.replace(was, now))
    for path in (project / "models/model.onnx", project.object("models/model.onnx")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(other)

    summary = project.run("python", "-m", "reporting.summary")
    assert "differs, though nothing was changed: this machine computes other last bits" in summary
    project.sh(restoring(summary))

    assert (project / "dvc.lock").read_text() == committed
    assert project.outputs() == fast.outputs()
    assert "is as committed (restored, not computed on this machine)" in project.run(
        "python", "-m", "reporting.summary"
    )


def test_repro_names_a_damaged_object_that_dvc_takes_for_whole(newcomer, made, tmp_path):
    project = newcomer.copy(tmp_path / "project")
    damaged = project.object("results/evaluate/predictions.npz")
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    damaged.chmod(0o444)  # as DVC leaves what it has seen
    output = project.run("make", "repro", fails=True)

    assert f"damaged in the DVC cache: {damaged.relative_to(project.path)}; mend it with:\n" in output
    project.sh(output[output.index("mend it with:\n") :].splitlines()[1].strip())
    assert project.outputs() == newcomer.outputs()
    project.run("make", "repro")


def test_repro_shows_no_old_results_for_a_run_that_broke_off(newcomer, made, tmp_path):
    project = newcomer.copy(tmp_path / "project")
    project.set(evaluate__seed=-1)
    output = project.run("make", "repro", fails=True)

    assert "error: params.yaml: evaluate.seed: -1 is out of range" in output
    assert "test accuracy" not in output


def test_pull_restores_everything_without_training(newcomer, made, fast, tmp_path):
    project = newcomer.clone(tmp_path / "project")
    provide_environment(project)
    output = project.run("make", "pull")

    assert "Running stage" not in output
    assert project.outputs() == fast.outputs()
