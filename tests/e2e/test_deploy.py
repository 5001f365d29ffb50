"""From a tag to a running service and back: Git over https, DVC, the reconciler and the service, all of them real."""

import contextlib
import dataclasses
import json
import subprocess
from pathlib import Path

import onnx
import pytest

from delivery import client
from digits.storage import read_arrays, write_arrays
from tests.delivery.released import https
from tests.e2e.project import Project, wait_for
from tests.e2e.service import Clients, Started, started

pytestmark = pytest.mark.e2e

WORKS, OTHER, FAILS, DAMAGED = "v0.1.0", "v0.2.0", "v0.3.0", "v0.4.0"


@dataclasses.dataclass
class Site:
    """A team's repository, and a machine that serves its staging from a Git host."""

    project: Project
    bare: Path
    host: str  # the same by its address
    to: Path
    env: dict[str, str]

    def assign(self, version: str) -> None:
        self.project.run("gto", "assign", "mnist", "--version", version, "--stage", "staging", "--force")
        self.share()

    def share(self) -> None:
        self.project.git("push", "--quiet", "host", "main", "--tags")

    def deploy(self, *words: str, repo: str | Path, url: str = "") -> list[str]:
        command = ["python", "-m", "delivery.deploy", "--stage", "staging", *words]
        return [*command, "--repo", str(repo), "--to", str(self.to), "--url", url]

    @contextlib.contextmanager
    def running(self, name: str, command: list[str]):
        """A process that is still there afterwards, and ends as it should when it is asked to."""
        with started(command, self.project.path, self.env, self.to.parent / f"{name}.log") as process:
            yield process
            assert process.process.poll() is None, process.said
            assert process.end() == 0, process.said
            assert "Traceback" not in process.said

    @property
    def status(self) -> dict:
        path = self.to / "staging/status.json"
        return json.loads(path.read_text()) if path.exists() else {}


def stored(project: Project, *stages: str) -> None:
    """Have DVC take what lies in the workspace for the output of these stages, here and in the remote."""
    project.dvc("commit", "--force", "--quiet", *stages)
    project.dvc("push", "--quiet", *stages)


def replaced(path: Path) -> Path:
    """The path, without the file that may be a link into DVC's cache."""
    path.unlink()
    return path


@pytest.fixture(scope="module")
def site(pulled, tmp_path_factory):
    """Two versions that work, one whose smoke set says otherwise, and one whose model is damaged in the remote."""
    folder = tmp_path_factory.mktemp("site")
    project = pulled.copy(folder / "project")
    for version in (WORKS, OTHER, FAILS, DAMAGED):
        if version == OTHER:
            model = onnx.load(project / "models/model.onnx")
            model.doc_string = version
            replaced(project / "models/model.onnx").write_bytes(model.SerializeToString())
            stored(project, "export")
        elif version == FAILS:
            smoke = project / "models/smoke.npz"
            images, labels, probabilities = read_arrays(smoke, "images", "labels", "probabilities")
            write_arrays(replaced(smoke), images=images, labels=(labels + 1) % 10, probabilities=probabilities)
            stored(project, "evaluate")
        elif version == DAMAGED:
            replaced(project.object("models/model.onnx", ".dvcstore")).write_bytes(b"damaged")
        if version != WORKS:
            project.commit(version)
        project.run("gto", "register", "mnist", "--version", version)
    project.run("git", "init", "--quiet", "--bare", str(folder / "host.git"))
    project.git("remote", "add", "host", str(folder / "host.git"))
    with https(folder, folder) as (address, certificate):
        env = project.env | {"GIT_SSL_CAINFO": str(certificate), "MNIST_DEPLOYMENTS": str(folder / "to")}
        yield Site(project, folder / "host.git", f"{address}/host.git", folder / "to", env | {"PYTHONUNBUFFERED": "1"})


def test_from_a_tag_to_the_service_and_back_under_load(site):
    serve = ["python", "-m", "delivery.serve", "--stage", "staging", "--as-placed", "--port", "0"]
    with site.running("serve", serve) as service:
        url = service.url
        assert client.ready(url)["ready"] is False
        with site.running("deploy", site.deploy("--watch", "--interval", "0.5", repo=site.host, url=url)) as watching:
            site.assign(WORKS)
            wait_for(lambda: site.status.get("served") == WORKS)
            assert site.status["seconds"].keys() == {"git", "dvc", "smoke", "switch", "warming"}
            with Clients(url, threads=3, pause=0.01) as asking:
                asking.known = WORKS
                switches_and_failures(site, asking, watching, url)
        assert asking.failed == []
        assert asking.wrong == []
        assert {WORKS, OTHER} == set(asking.versions)


def switches_and_failures(site: Site, asking: Clients, watching: Started, url: str) -> None:
    def comes(version: str) -> None:
        """The tags say it, the reconciler reports it, and no other version answers what is asked from then on."""
        wait_for(lambda: site.status["served"] == version and site.status["error"] is None)
        asking.known, answers = version, len(asking.versions)
        wait_for(lambda: len(asking.versions) > answers + 20)

    asking.known = None
    site.assign(OTHER)
    comes(OTHER)

    asking.known = None
    site.project.run("python", "-m", "delivery.rollback", "--stage", "staging")
    site.share()
    comes(WORKS)

    for bad, reason in (
        (FAILS, "the smoke test failed: 0 of 50 labels"),
        (DAMAGED, "model.onnx as the remote has it is damaged"),
    ):
        site.assign(bad)
        wait_for(lambda bad=bad: site.status["desired"] == bad)
        wait_for(lambda: site.status["error"])
        assert reason in site.status["error"]
        assert (site.status["current"], client.ready(url)["version"]) == (WORKS, WORKS)
        wait_for(lambda reason=reason: reason in watching.said)

    asking.known = None
    site.assign(OTHER)
    comes(OTHER)


def test_two_at_once_do_no_harm(site):
    """From a bare clone by its path, as the last ones from a Git host by https."""
    site.assign(WORKS)
    command = site.deploy(repo=site.bare)
    both = [subprocess.Popen(command, cwd=site.project.path, env=site.env, stdout=-1, stderr=-1) for _ in range(2)]
    answers = [process.communicate() for process in both]

    assert [process.returncode for process in both] == [0, 0], answers
    said = sorted(out.decode() for out, _ in answers)
    assert "is in place, as assigned" in said[0]
    assert "is now in place" in said[1]
    assert json.loads((site.to / "staging/current/version.json").read_text())["version"] == WORKS


def test_a_remote_that_does_not_answer_costs_nothing(site):
    before = site.status["current"]
    command = site.deploy(repo="https://127.0.0.1:9/host.git")
    answer = subprocess.run(command, cwd=site.project.path, env=site.env, capture_output=True, text=True, check=False)

    assert answer.returncode == 1
    assert answer.stderr.startswith("error: ")
    assert "Traceback" not in answer.stderr
    assert (site.status["current"], site.status["error"] is None) == (before, False)
