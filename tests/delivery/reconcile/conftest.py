"""Real repositories, and reconciliations whose steps are not processes of their own but run in this one."""

import subprocess
import sys

import pytest

from delivery import artifact, reconcile, smoke
from delivery.deployments import Deployments
from delivery.reconcile import DeployError, Target
from digits.errors import PipelineError
from tests.delivery.released import Released
from tests.delivery.stand_in import stand_in


@pytest.fixture(scope="session")
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
