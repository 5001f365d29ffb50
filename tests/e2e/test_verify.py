"""`python -m reporting.verify` (`make verify`): what it refuses, and that the commands it names mend it."""

import os
import shutil

import pytest

pytestmark = pytest.mark.e2e


def verify(project, **options):
    return project.run("python", "-m", "reporting.verify", **options)


def mend(project, complaint):
    """Type what the complaint says, which is indented, with a message for the commit."""
    commands = [line.strip() for line in complaint.splitlines() if line.startswith("  ")]
    assert commands
    project.env = project.env | {"GIT_EDITOR": "echo mended >"}  # what a person would do in the editor
    project.sh(*commands)


def test_what_is_committed_passes(pulled, tmp_path):
    output = verify(pulled.copy(tmp_path / "project"))

    assert output == "dvc.lock is current, all it names is in the remote, and both are committed\n"


def test_a_stale_lock_is_refused_and_mended(pulled, tmp_path):
    project = pulled.copy(tmp_path / "project")
    project.set(evaluate__seed=5)
    project.commit()
    complaint = verify(project, fails=True)

    assert "dvc.lock is stale: evaluate, check would run" in complaint
    mend(project, complaint)
    verify(project)


def test_a_stale_lock_is_refused_where_nothing_was_pulled(checkout, tmp_path):
    project = checkout.clone(tmp_path / "project")
    project.set(evaluate__seed=5)
    project.commit()

    assert "dvc.lock is stale: evaluate would run" in verify(project, fails=True)


def test_an_object_that_is_not_in_the_remote_is_refused_and_mended(pulled, tmp_path):
    project = pulled.copy(tmp_path / "project")
    project.object("models/model.onnx", ".dvcstore").unlink()
    project.commit()
    complaint = verify(project, fails=True)

    assert "not in the DVC remote: models/model.onnx" in complaint
    mend(project, complaint)
    verify(project)


def test_objects_that_are_not_committed_are_refused_and_mended(pulled, tmp_path):
    project = pulled.copy(tmp_path / "project")
    project.git("rm", "--cached", "--quiet", str(project.object("models/model.onnx", ".dvcstore")))
    project.git("commit", "--quiet", "--message", "without an object")
    complaint = verify(project, fails=True)

    assert "not committed: .dvcstore/files/md5/" in complaint
    mend(project, complaint)
    verify(project)


def damage(path):
    """Flip a bit, and leave the file as protected as DVC made it: as a bad disk does."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.chmod(path, mode)  # noqa: PTH101


def test_a_damaged_cache_is_refused_and_mended(pulled, tmp_path):
    project = pulled.copy(tmp_path / "project")
    whole = project.outputs()
    shutil.rmtree(project / "models")
    damage(project.object("models/model.onnx"))
    project.dvc("checkout")
    assert project.outputs() != whole  # DVC trusts an object that nobody may write to

    complaint = verify(project, fails=True)
    assert "damaged in the DVC cache: .dvc/cache/files/md5/" in complaint
    mend(project, complaint)
    verify(project)
    assert project.outputs() == whole


def test_a_damaged_remote_is_refused_and_mended(pulled, tmp_path):
    project = pulled.copy(tmp_path / "project")
    damage(project.object("models/model.onnx", ".dvcstore"))
    complaint = verify(project, fails=True)

    assert "damaged in the DVC remote: .dvcstore/files/md5/" in complaint
    mend(project, complaint)
    verify(project)
