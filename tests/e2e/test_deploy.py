"""From a tag to a running service and back: Git over https, DVC, the reconciler and the service, all of them real."""

import contextlib
import dataclasses
import json
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from delivery import client
from tests.delivery.released import https
from tests.e2e.project import Project, wait_for

pytestmark = pytest.mark.e2e


@dataclasses.dataclass
class Site:
    """A team's repository, and a machine that serves its staging from a Git host."""

    project: Project
    host: str  # address of the repository
    to: Path
    env: dict[str, str]

    def release(self, version: str) -> None:
        self.project.run("gto", "register", "mnist", "--version", version)

    def assign(self, version: str) -> None:
        self.project.run("gto", "assign", "mnist", "--version", version, "--stage", "staging", "--force")
        self.share()

    def share(self) -> None:
        self.project.git("push", "--quiet", "host", "main", "--tags")

    def command(self, *words: str) -> list[str]:
        return ["python", "-m", *words, "--stage", "staging"]

    def deploy(self, *words: str, url: str = "") -> list[str]:
        return self.command("delivery.deploy", *words, "--repo", self.host, "--to", str(self.to), "--url", url)

    @contextlib.contextmanager
    def running(self, name: str, command: list[str]):
        """A process that is asked to end afterwards, and does; yields what it prints."""
        log = self.to.parent / f"{name}.log"
        with log.open("w") as stream:
            process = subprocess.Popen(command, cwd=self.project.path, env=self.env, stdout=stream, stderr=stream)
        try:
            yield log
            assert process.poll() is None, log.read_text()
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait()
        assert code == 0, log.read_text()

    @property
    def status(self) -> dict:
        path = self.to / "staging/status.json"
        return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture(scope="module")
def site(pushed, tmp_path_factory):
    """Two versions, and a third whose model is none, though it is what dvc.lock names."""
    folder = tmp_path_factory.mktemp("site")
    project = pushed.copy(folder / "project")
    project.run("git", "init", "--quiet", "--bare", str(folder / "host.git"))
    project.git("remote", "add", "host", str(folder / "host.git"))
    with https(folder, folder) as (address, certificate):
        env = project.env | {"GIT_SSL_CAINFO": str(certificate), "MNIST_DEPLOYMENTS": str(folder / "to")}
        site = Site(project, f"{address}/host.git", folder / "to", env | {"PYTHONUNBUFFERED": "1"})
        site.release("v0.1.0")
        project.set(evaluate__seed=5)
        project.repro()
        project.dvc("push")
        project.commit("another smoke set")
        site.release("v0.2.0")
        (project / "models/model.onnx").unlink()
        (project / "models/model.onnx").write_bytes(b"no model")
        project.dvc("commit", "--force", "export")
        project.dvc("push")
        project.commit("no model at all")
        site.release("v0.3.0")
        site.share()
        yield site


def test_from_a_tag_to_the_service_and_back(site):
    with contextlib.ExitStack() as stack:
        said = stack.enter_context(
            site.running("serve", [*site.command("delivery.serve"), "--as-placed", "--port", "0"])
        )
        wait_for(lambda: "http://" in said.read_text())
        url = said.read_text().split()[-1]
        assert client.ready(url)["ready"] is False
        log = stack.enter_context(site.running("deploy", site.deploy("--watch", "--interval", "0.1", url=url)))

        def comes(version):
            site.assign(version)
            wait_for(lambda: client.ready(url).get("version") == version)
            wait_for(lambda: site.status.get("served") == version)

        comes("v0.1.0")
        assert site.status["seconds"].keys() == {"git", "dvc", "smoke", "switch", "warming"}
        failures, stop = [], threading.Event()

        def ask():
            images = np.zeros((1, 28, 28), np.uint8)
            while not stop.is_set():
                try:
                    client.Served(url, client.ready(url)["version"]).probabilities(images)
                except client.ServiceError as error:
                    if "expected v" not in str(error):  # switched between the two questions
                        failures.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            comes("v0.2.0")
            site.project.run("python", "-m", "delivery.rollback", "--stage", "staging")
            site.share()
            wait_for(lambda: client.ready(url)["version"] == "v0.1.0")

            site.assign("v0.3.0")
            wait_for(lambda: site.status.get("error"))
            assert "model.onnx: not an ONNX model" in site.status["error"]
            assert (site.status["desired"], site.status["current"]) == ("v0.3.0", "v0.1.0")
            assert client.ready(url)["version"] == "v0.1.0"
            assert "error: " in log.read_text()

            comes("v0.2.0")
            assert site.status["error"] is None
        finally:
            stop.set()
            asking.join()
        assert failures == []


def test_two_at_once_do_no_harm(site):
    site.assign("v0.1.0")
    command = [*site.deploy()]
    both = [subprocess.Popen(command, cwd=site.project.path, env=site.env, stdout=-1, stderr=-1) for _ in range(2)]
    answers = [process.communicate() for process in both]

    assert [process.returncode for process in both] == [0, 0], answers
    said = sorted(out.decode() for out, _ in answers)
    assert "is in place, as assigned" in said[0]
    assert "is now in place" in said[1]
    assert json.loads((site.to / "staging/current/version.json").read_text())["version"] == "v0.1.0"


def test_a_remote_that_does_not_answer_costs_nothing(site):
    before = site.status["current"]
    command = site.deploy()
    command[command.index(site.host)] = "https://127.0.0.1:9/host.git"
    answer = subprocess.run(command, cwd=site.project.path, env=site.env, capture_output=True, text=True, check=False)

    assert answer.returncode == 1
    assert answer.stderr.startswith("error: ")
    assert "Traceback" not in answer.stderr
    assert (site.status["current"], site.status["error"] is None) == (before, False)
