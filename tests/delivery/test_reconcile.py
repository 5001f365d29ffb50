"""One reconciliation, on real repositories, with the steps that are processes of their own run in this one."""

import dataclasses
import errno
import json
import os
import subprocess
import sys

import pytest

from delivery import artifact, reconcile, smoke
from delivery.client import ServiceError
from delivery.deployments import Deployments
from delivery.git import GitError
from delivery.reconcile import DeployError, Target
from digits.errors import PipelineError
from tests.delivery.released import Released
from tests.delivery.stand_in import stand_in


@pytest.fixture(scope="module")
def released(finished, tmp_path_factory):
    repository = Released(tmp_path_factory.mktemp("released") / "project", finished)
    for version, wrong in (("v0.1.0", False), ("v0.2.0", False), ("v0.3.0", True)):
        repository.release(version, wrong=wrong)
    return repository


@pytest.fixture
def repository(released, tmp_path):
    """Two versions and one whose smoke test fails; none is assigned."""
    clone = Released.__new__(Released)
    clone.path, clone.outputs, clone.assignments = tmp_path / "project", released.outputs, 0
    subprocess.run(["git", "clone", "--quiet", released.path, clone.path], check=True)
    return clone


@pytest.fixture
def place(tmp_path):
    return Deployments(tmp_path / "deployments/staging")


@pytest.fixture
def service(place):
    with stand_in(place.folder) as running:
        yield running


@pytest.fixture
def target(repository, place, service):
    return Target(
        stage="staging",
        artifact="mnist",
        repo=str(repository.path),
        deployments=place,
        url=service.url,
        token=None,
        accuracy=0.5,
        keep=2,
    )


@pytest.fixture(autouse=True)
def _in_this_process(request, monkeypatch, capsys):
    """Spares the start of an interpreter for each step."""

    def child(attempt, module, *arguments):
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        capsys.readouterr()
        try:
            {"delivery.artifact": artifact, "delivery.smoke": smoke}[module].main()
        except PipelineError as error:
            raise DeployError(str(error)) from None
        return capsys.readouterr().out

    if "own_processes" not in request.fixturenames:
        monkeypatch.setattr(reconcile._Attempt, "_child", child)


@pytest.fixture
def own_processes():
    """The steps as they are."""


def version_in(place):
    current = place.current()
    return current.version if current else None


def test_what_is_assigned_is_put_in_place_and_served(repository, target, place, service):
    repository.assign("v0.1.0")
    said = reconcile.reconcile(target)

    assert said.startswith(
        f"staging: v0.1.0 (commit {repository.git('rev-parse', 'mnist@v0.1.0^{}')[:7]}) is now in place"
    )
    assert said.endswith(f"; {service.url} serves it")
    assert (version_in(place), service.version) == ("v0.1.0", "v0.1.0")
    assert {path.name for path in (place.folder / "current").iterdir()} == {
        *("model.onnx", "reference.npz", "smoke.npz", "metrics.json", "version.json")
    }
    status = place.status()
    assert {key: status[key] for key in ("stage", "desired", "current", "served", "error")} == {
        "stage": "staging",
        "desired": "v0.1.0",
        "current": "v0.1.0",
        "served": "v0.1.0",
        "error": None,
    }
    assert list(status["seconds"]) == ["git", "dvc", "smoke", "switch", "warming"]
    assert status["since"] == status["at"]


def test_what_is_in_place_stays_untouched(repository, target, place, service):
    repository.assign("v0.1.0")
    reconcile.reconcile(target)
    before, status = (place.folder / "current/model.onnx").stat(), place.status()
    said = reconcile.reconcile(target)

    assert "is in place, as assigned" in said
    assert (place.folder / "current/model.onnx").stat() == before
    assert service.reloads == 1
    after = place.status()
    assert (after["since"], after["seconds"]) == (status["since"], status["seconds"])


def test_promotion_and_rollback(repository, target, place, service, monkeypatch):
    for version in ("v0.1.0", "v0.2.0"):
        repository.assign(version)
        reconcile.reconcile(target)
        assert (version_in(place), service.version) == (version, version)
    repository.assign("v0.1.0")
    monkeypatch.setattr(artifact, "main", None)  # the version before is still on disk
    reconcile.reconcile(target)
    assert (version_in(place), service.version) == ("v0.1.0", "v0.1.0")
    assert list(place.status()["seconds"]) == ["git", "smoke", "switch", "warming"]


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


@pytest.mark.parametrize("way", ["refuses", "ignores", "breaks"])
def test_a_service_that_does_not_take_the_version_keeps_the_old_one(repository, target, place, service, way):
    repository.assign("v0.1.0")
    reconcile.reconcile(target)
    repository.assign("v0.2.0")
    if way == "refuses":
        service.refused = {"v0.2.0"}
    elif way == "ignores":
        service.ignores = True
    else:
        service.answers["/v1/admin/reload"] = 500, b"Internal Server Error"
    with pytest.raises(PipelineError, match=r"refuses the version: v0.2.0|told to load v0.2.0|Internal Server Error"):
        reconcile.reconcile(target)

    assert (version_in(place), service.version) == ("v0.1.0", "v0.1.0")
    assert place.status()["current"] == "v0.1.0"

    service.refused, service.ignores, service.answers = set(), False, {}
    reconcile.reconcile(target)
    assert (version_in(place), service.version, place.status()["error"]) == ("v0.2.0", "v0.2.0", None)


def test_a_service_that_took_the_version_though_it_said_no_is_sent_back(
    repository, target, place, service, monkeypatch
):
    repository.assign("v0.1.0")
    reconcile.reconcile(target)
    repository.assign("v0.2.0")
    told = reconcile.client.reload

    def reload(url, token):
        told(url, token)
        if service.version == "v0.2.0":
            raise ServiceError("no answer (timed out)")

    monkeypatch.setattr(reconcile.client, "reload", reload)
    with pytest.raises(ServiceError, match="timed out"):
        reconcile.reconcile(target)
    assert (version_in(place), service.version) == ("v0.1.0", "v0.1.0")


def test_a_first_version_that_is_refused_is_taken_away_again(repository, target, place, service):
    service.refused = {"v0.1.0"}
    repository.assign("v0.1.0")
    with pytest.raises(ServiceError, match="it does not do"):
        reconcile.reconcile(target)
    assert (version_in(place), service.version, place.status()["current"]) == (None, None, None)


def test_no_service_is_no_error(repository, target, place):
    repository.assign("v0.1.0")
    assert reconcile.reconcile(dataclasses.replace(target, url="")).endswith("; there is no service to tell")
    repository.assign("v0.2.0")
    nobody = dataclasses.replace(target, url="http://127.0.0.1:9")
    assert reconcile.reconcile(nobody).endswith(
        "; nothing listens at http://127.0.0.1:9: what starts there will serve it"
    )
    assert (version_in(place), place.status()["served"]) == ("v0.2.0", None)


def test_the_service_of_another_stage_is_not_told(repository, target, place, service):
    service.stage = "production"
    repository.assign("v0.1.0")
    with pytest.raises(DeployError, match="is the service of stage production, not of staging: see --url"):
        reconcile.reconcile(target)
    assert (version_in(place), service.reloads) == (None, 0)


def test_a_service_that_missed_the_reload_is_told_again(repository, target, service):
    repository.assign("v0.1.0")
    reconcile.reconcile(target)
    repository.assign("v0.2.0")
    reconcile.reconcile(target)
    service.loaded |= {"version": "v0.1.0"}
    assert "is in place, as assigned" in reconcile.reconcile(target)
    assert service.version == "v0.2.0"


def test_a_token_is_shown(repository, target, service):
    service.token = "secret"
    repository.assign("v0.1.0")
    with pytest.raises(ServiceError, match="set MNIST_ADMIN_TOKEN"):
        reconcile.reconcile(target)
    reconcile.reconcile(dataclasses.replace(target, token="secret"))
    assert service.version == "v0.1.0"


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
