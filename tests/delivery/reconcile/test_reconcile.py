"""One reconciliation: what is assigned is put in place, and the service is told."""

import dataclasses

import pytest

from delivery import artifact, reconcile
from delivery.client import ServiceError
from delivery.reconcile import DeployError
from digits.errors import PipelineError
from tests.delivery.released import version_in


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
