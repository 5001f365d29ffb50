"""`python -m monitoring.feedback`: from labels in the log to a model that was trained with them, and back."""

import json
import re
import shutil

import numpy as np
import pytest

from delivery.log import PredictionLog, Scored
from digits import production
from digits.storage import read_arrays
from monitoring.shifts import rotated
from tests.e2e.project import STAGES

pytestmark = pytest.mark.e2e

EXPORT = ("python", "-m", "monitoring.feedback", "--stage", "production")


def fill(project, pulled, places=range(200)):
    """What a service was asked: training images, turned; and what two people said of them, one from here, one not."""
    images, labels = read_arrays(pulled / "data/prepared/train.npz", "images", "labels")
    images, labels = rotated(images[places], 30), labels[places].tolist()
    (project / "logs").mkdir(exist_ok=True)
    log = PredictionLog(f"sqlite:///{project / 'logs/production.db'}", "production")
    ids = log.append(Scored("v0.1.0", images, np.full((len(labels), 10), 0.1, np.float32), labels))
    for place, (key, label) in enumerate(zip(ids, labels, strict=True)):
        log.feedback(key, label, *(("ann", "10.0.0.1"), ("bob", "10.0.0.2"))[place % 2])
    log.close()


@pytest.fixture
def shared(checkout, pulled, tmp_path):
    """A clone of a repository that others push to as well, with labels in its log. Nothing is pulled."""
    checkout.run("git", "clone", "--quiet", "--bare", str(checkout.path), str(tmp_path / "origin.git"))
    checkout.run("git", "clone", "--quiet", str(tmp_path / "origin.git"), str(tmp_path / "project"))
    project = type(checkout)(tmp_path / "project", checkout.env)
    fill(project, pulled)
    return project


def state(project):
    """What must not change when a branch is shared: files, branches, worktrees."""
    return [project.git(*command) for command in (("status", "--porcelain"), ("branch",), ("worktree", "list"))]


def test_labels_join_the_training_images_and_leave_them_again(project, pulled):
    committed, finished = (project / "dvc.lock").read_text(), project.outputs()
    fill(project, pulled)
    output = project.run(*EXPORT)

    assert "200 labels\n" in output
    assert "train with it: dvc repro" in output
    (taken,) = read_arrays(project / "data/production/train.npz", "labels")
    assert 140 < len(taken) < 180
    assert project.git("status", "--porcelain") == " M data/production.dvc\n"

    assert project.repro() == STAGES[1:]
    statistics = json.loads((project / "data/prepared/statistics.json").read_text())
    assert (statistics["train"]["images"], statistics["production"]["images"]) == (55_000, len(taken))
    (labels,) = read_arrays(project / "data/prepared/train.npz", "labels")
    assert len(labels) == 55_000 + 10 * len(taken)
    assert f"| production | {len(taken)} |" in (project / "results/check/model_card.md").read_text()
    assert project.repro() == ()

    complaint = project.run("python", "-m", "reporting.verify", fails=True)
    assert "not in the DVC remote: " in complaint
    assert "data/production" in complaint
    mend = [line.strip() for line in complaint.splitlines() if line.startswith("  ")]
    project.env = project.env | {"GIT_EDITOR": "echo labels >"}
    project.sh(*mend)
    project.run("python", "-m", "reporting.verify")

    # Back: as the output says, and what depends on it with it.
    project.sh("git checkout HEAD~1 -- data/production.dvc", "dvc checkout data/production.dvc")
    assert project.repro() == ("preprocess", "check")  # the others have run here before
    assert (project / "dvc.lock").read_text() == committed
    assert project.outputs() == finished


def test_what_is_missing_or_damaged_is_named_and_brought_back(pulled, tmp_path):
    project = pulled.copy(tmp_path / "project")
    shutil.rmtree(project / "data/production")
    output = project.dvc("repro", fails=True)
    assert "missing data 'source': data/production" in output
    assert "`dvc pull data/production` brings this one" in (project / "data/production.dvc").read_text()
    project.dvc("pull", "data/production")
    assert project.repro() == ()

    (project / "data/production/train.npz").write_bytes(b"damaged")
    output = project.dvc("repro", fails=True)  # which DVC takes for a new version
    found = re.search(r"^error: data/production/train\.npz: .*; restore it with `(.+)`$", output, re.MULTILINE)
    assert found, output
    project.sh(found[1])
    assert project.repro() == ()


def test_an_experiment_of_the_queue_has_the_production_data(project, pulled):
    fill(project, pulled)
    project.run(*EXPORT)
    project.dvc("exp", "run", "--queue", "--name", "less", "-S", "preprocess.production_repeat=2", "preprocess")
    project.dvc("exp", "run", "--run-all", "--jobs", "1")
    project.dvc("exp", "apply", "less")
    (taken,) = read_arrays(project / "data/production/train.npz", "labels")
    (labels,) = read_arrays(project / "data/prepared/train.npz", "labels")
    assert len(labels) == 55_000 + 2 * len(taken)


def test_a_branch_is_shared_and_nothing_here_changes(shared, pulled, tmp_path):
    (shared / "README.md").write_text("not finished yet\n")
    shared.git("switch", "--quiet", "--create", "mine")
    shared.git("commit", "--quiet", "--allow-empty", "--message", "not meant for others yet")
    before = state(shared)
    output = shared.run(*EXPORT, "--push")

    assert state(shared) == before
    branch = output.rpartition("shared with origin as branch ")[2].strip()
    shared.run("git", "clone", "--quiet", str(tmp_path / "origin.git"), str(tmp_path / "theirs"))
    theirs = type(shared)(tmp_path / "theirs", shared.env)
    theirs.git("switch", "--quiet", "--detach", f"origin/{branch}")
    changed = theirs.git("diff", "--name-only", "main", "HEAD").split()
    assert [name for name in changed if not name.startswith(".dvcstore/files/md5/")] == ["data/production.dvc"]
    assert theirs.git("log", "--format=%s", "main..HEAD").startswith("Labelled production data: ")
    theirs.dvc("pull", "data/production")
    images, labels = read_arrays(theirs / "data/production/train.npz", "images", "labels")
    assert len(images) == len(labels) > 140
    assert json.loads((theirs / "data/production/provenance.json").read_text())["labels"] == 200

    theirs.git("push", "--quiet", "origin", "HEAD:main")
    again = shared.run(*EXPORT, "--push")
    assert "origin/main has this version already: nothing to share" in again
    assert state(shared) == before

    # The log forgets. What it had stays, and is what models are compared on, for it is not old.
    shared.run("rm", "-r", "logs")
    fill(shared, pulled, range(200, 250))
    output = shared.run(*EXPORT, "--push")
    branch = output.rpartition("shared with origin as branch ")[2].strip()
    assert f"of exports before: {len(images)} kept to train on\n" in output
    theirs.git("fetch", "--quiet", "origin")
    theirs.git("switch", "--quiet", "--detach", f"origin/{branch}")
    theirs.dvc("pull", "data/production")
    more = production.read(theirs / "data/production")
    assert len(more.train.labels) + len(more.holdout.labels) > 240
    assert {*production.keys(images)} < {*production.keys(more.train.images)}


def test_make_takes_the_version_that_came_by_git(shared, tmp_path):
    """`dvc repro` alone would take what lies here for the newer one, and record that."""
    shared.run(*EXPORT)
    shared.dvc("push", "data/production")
    shared.commit("labels")
    exported = (shared / "data/production.dvc").read_text()
    colleague = shared.clone(tmp_path / "colleague")
    colleague.git("switch", "--quiet", "--detach", "HEAD~1")
    (colleague / ".venv").mkdir()
    for stamp in ("installed", "installed-serve", "installed-dev"):
        (colleague / ".venv" / stamp).touch()
    colleague.run("make", "data/production")
    colleague.git("switch", "--quiet", "main")
    colleague.run("make", "data/production")

    assert (colleague / "data/production.dvc").read_text() == exported
    assert len(read_arrays(colleague / "data/production/train.npz", "labels")[0]) > 140
    assert "dvc pull" not in colleague.run("make", "data/production")
