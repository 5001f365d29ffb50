""".github/workflows/deploy.yml, executed: what GTO's assignment tags set off."""

import json
import re

import pytest

from tests.e2e.github.server import Server

pytestmark = pytest.mark.e2e


@pytest.fixture
def project(pushed, tmp_path):
    """Two versions, registered and assigned by GTO itself."""
    project = pushed.copy(tmp_path / "project")
    project.run("gto", "register", "mnist", "--version", "v0.1.0")
    project.run("gto", "assign", "mnist", "--version", "v0.1.0", "--stage", "production")
    return project


@pytest.fixture
def server(project, tmp_path):
    return Server(project, tmp_path / "github")


def containers(server):
    """Words of each `docker run`."""
    return [json.loads(path.read_text())["words"] for path in server.record.glob("docker/*/container.json")]


def pushed_tag(server, tag):
    return server.run("deploy", "push", {"ref": f"refs/tags/{tag}"})


def test_an_assignment_is_deployed_and_served_by_the_image(project, server):
    run = pushed_tag(server, "mnist#production#1")

    assert run.passed, run.output
    assert list(run.steps)[-3:] == [
        "Build the image",
        "Put the version in place",
        "Start the image, run the smoke test",
    ]
    assert "production: v0.1.0 (commit" in run.output
    assert re.fullmatch(r"mnist serves v0.1.0 of production: (4\d|50) of 50 right\n", run.summary)
    (words,) = containers(server)
    assert words[-2:] == ["--stage", "production"]
    assert {"--read-only", "--user=10001:10001"} < set(words)
    image = server.record / "docker/images/mnist/app"
    assert {path.name for path in image.iterdir()} >= {"digits", "delivery", "params.yaml"}
    assert not list(image.rglob("*.onnx"))


def test_a_dispatch_whose_version_does_not_do_fails_and_starts_nothing(project, server):
    path = project.object("models/model.onnx", ".dvcstore")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    project.commit("a bit flipped")
    project.run("gto", "register", "mnist", "--version", "v0.2.0")
    project.run("gto", "assign", "mnist", "--version", "v0.2.0", "--stage", "staging")
    run = server.run("deploy", "workflow_dispatch", {"inputs": {"ref": "mnist#staging#2"}})

    assert run.failed == ["Put the version in place"]
    assert "mnist@v0.2.0: models/model.onnx as the remote has it is damaged" in run.output
    assert containers(server) == []


def test_a_tag_that_assigns_nothing_deploys_nothing(project, server):
    project.run("gto", "deprecate", "mnist", "v0.1.0", "production")
    (tag,) = [line for line in project.git("tag").splitlines() if "!" in line]
    run = pushed_tag(server, tag)

    assert run.passed, run.output
    assert list(run.steps)[-1] == "Ask GTO"
    assert containers(server) == []
