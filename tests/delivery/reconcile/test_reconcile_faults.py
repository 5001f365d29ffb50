"""One reconciliation in which something goes wrong: what was in place stays, and the reason is told."""

import dataclasses
import errno
import json
import os

import pytest

from delivery import artifact, reconcile
from delivery.git import GitError
from delivery.reconcile import DeployError
from tests.delivery.released import version_in


def test_a_version_that_fails_its_smoke_test_never_gets_in_place(repository, target, place, service):
    repository.assign("v0.1.0")
    reconcile.reconcile(target)
    repository.assign("v0.3.0")
    with pytest.raises(DeployError, match=r"the smoke test failed: \d of 20 labels of the smoke set are right"):
        reconcile.reconcile(target)

    assert (version_in(place), service.version, service.reloads) == ("v0.1.0", "v0.1.0", 1)
    status = place.status()
    assert (status["desired"], status["current"]) == ("v0.3.0", "v0.1.0")
    assert "the smoke test failed" in status["error"]
    assert [path.name for path in (place.folder / "versions").iterdir()] == ["v0.1.0"]


def test_a_version_that_was_damaged_on_disk_is_fetched_again(repository, target, place):
    repository.assign("v0.1.0")
    reconcile.reconcile(target)
    model = place.folder / "current/model.onnx"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    assert "is now in place" in reconcile.reconcile(target)
    assert model.read_bytes() == whole


def test_a_damaged_remote_object_is_refused(repository, target, place, service):
    repository.assign("v0.1.0")
    reconcile.reconcile(target)
    for path in repository.path.glob(".dvcstore/files/md5/*/*"):
        path.write_bytes(b"damaged")
    repository.git("commit", "--quiet", "--all", "--message", "damage")
    repository.git("tag", "--annotate", "mnist@v0.4.0", "--message", "damaged")
    repository.assign("v0.4.0")
    with pytest.raises(DeployError, match=r"mnist@v0.4.0: models/model.onnx as the remote has it is damaged"):
        reconcile.reconcile(target)
    assert (version_in(place), service.version) == ("v0.1.0", "v0.1.0")
    assert "is damaged" in place.status()["error"]


def test_a_tag_that_moves_meanwhile_is_noticed(repository, target, place, monkeypatch):
    repository.assign("v0.1.0")
    asked = reconcile.registry.current

    def current(*arguments):
        found = asked(*arguments)
        repository.git("tag", "--force", "--annotate", "mnist@v0.1.0", "mnist@v0.2.0^{}", "--message", "moved")
        return found

    monkeypatch.setattr(reconcile.registry, "current", current)
    with pytest.raises(DeployError, match=r"tag mnist@v0\.1\.0 has just moved to another commit"):
        reconcile.reconcile(target)
    assert version_in(place) is None


def test_a_full_disk_is_reported_and_costs_nothing(repository, target, place, service, monkeypatch):
    repository.assign("v0.1.0")
    reconcile.reconcile(target)
    repository.assign("v0.2.0")
    written = []

    def full(path, content):
        written.append(path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(artifact, "write_bytes", full)
        with pytest.raises(OSError, match="No space left on device"):
            reconcile.reconcile(target)
    assert written
    assert (version_in(place), service.version) == ("v0.1.0", "v0.1.0")
    assert "No space left on device" in place.status()["error"]
    assert not list((place.folder / "versions").glob(".*"))

    # Not even room for the reason.
    status = place.status()
    with monkeypatch.context() as patch:
        patch.setattr("digits.storage.write_text", full)
        patch.setattr(artifact, "write_bytes", full)
        with pytest.raises(OSError, match="No space left on device"):
            reconcile.reconcile(target)
    assert place.status() == status
    reconcile.reconcile(target)
    assert (version_in(place), service.version) == ("v0.2.0", "v0.2.0")


def test_nothing_assigned_and_no_repository_are_said(repository, target, place):
    with pytest.raises(
        DeployError, match="no version is assigned to staging; `make promote STAGE=staging` assigns one"
    ):
        reconcile.reconcile(target)
    with pytest.raises(GitError, match="nowhere"):
        reconcile.reconcile(dataclasses.replace(target, repo=str(place.folder / "nowhere")))
    assert "nowhere" in place.status()["error"]


@pytest.mark.usefixtures("own_processes")
def test_steps_are_processes_of_their_own(repository, target, place, monkeypatch, tmp_path):
    repository.assign("v0.1.0")
    assert reconcile.reconcile(target).endswith("serves it")

    repository.assign("v0.3.0")
    with pytest.raises(DeployError, match=r"^\S+: the smoke test failed: \d of 20"):
        reconcile.reconcile(target)

    repository.assign("v0.2.0")
    attempt = reconcile._Attempt(target, 0)
    (tmp_path / "breaks.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DeployError, match="`python -m breaks`: ended with exit code -11"):
        attempt._child("breaks")
    (tmp_path / "sleeps.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(reconcile, "CHILD_SECONDS", 0.2)
    with pytest.raises(DeployError, match=r"`python -m sleeps` was ended after 0.2 s"):
        attempt._child("sleeps")
    assert json.loads((place.folder / "current/version.json").read_text())["version"] == "v0.1.0"
