"""What is served, and where: the process itself is tested in test_service_process and e2e/test_serve."""

import contextlib
import dataclasses
import shutil
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from delivery import serve
from delivery.deployments import Deployed, Deployments
from delivery.git import GitError
from delivery.reconcile import DeployError
from delivery.registry import RegistryError, Version
from delivery.schema import LogError
from delivery.settings import ServiceSettings, SettingsError
from delivery.slot import SlotError
from tests.delivery.serving import PARAMS, ROOT
from tests.delivery.tagged import Tagged

VERSION = Version("v0.1.0", "c" * 40, "mnist@v0.1.0", datetime.now(UTC), "somebody", "")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Of a service in an empty folder but for params.yaml."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("MNIST_HOST", "MNIST_PORT", "MNIST_DEPLOYMENTS", "MNIST_LOG_URL", "MNIST_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return ServiceSettings.from_environment("staging", PARAMS)


@pytest.fixture
def tags(monkeypatch):
    """What the repository says: versions, or an error."""
    said = SimpleNamespace(versions=[], error=None)

    def read(_repo, _artifact):
        if said.error:
            raise said.error
        return said

    monkeypatch.setattr(serve.registry, "read", read)
    return said


def place(version):
    current = Path("deployments/staging/current")
    current.mkdir(parents=True)
    (current / "version.json").write_text(version)
    return current


def model():
    Path("models").mkdir()
    Path("models/model.onnx").write_bytes(b"a model")


def test_where_nothing_was_released_the_workspace_s_model_is_served(settings, tags, capsys):
    model()
    source = serve.deployed(PARAMS, settings)
    assert (source.folder, source.workspace) == (Path("models"), True)
    assert capsys.readouterr().out == (
        "staging: no version of mnist is released here (no tag names one; `git fetch --tags` brings those of where "
        "this was cloned from); serving models/model.onnx as it is, as version 'workspace'\n"
    )


def test_where_there_is_no_repository_what_was_put_in_place_is_served_or_the_workspace_s(settings, tags, capsys):
    tags.error = GitError("not a git repository")
    model()
    assert serve.deployed(PARAMS, settings).workspace
    assert "is released here (not a git repository); serving models/model.onnx" in capsys.readouterr().out
    current = place("v0.1.0")  # in an image, by a reconciler beside it
    source = serve.deployed(PARAMS, settings)
    assert (source.folder, source.workspace) == (current, False)
    assert capsys.readouterr().out == ""


def test_a_workspace_without_a_model_and_without_a_remote_says_both(settings, tags):
    with pytest.raises(SlotError, match=r"^staging: no version of mnist is released .*, and .* can't be brought from"):
        serve.deployed(PARAMS, settings)


def test_what_is_assigned_is_put_in_place_first(settings, tags, capsys, monkeypatch):
    tags.versions = [VERSION]
    targets = []
    monkeypatch.setattr(serve, "reconcile", lambda target: targets.append(target) or "it is now in place")
    source = serve.deployed(PARAMS, settings)
    assert (source.folder, source.workspace) == (Path("deployments/staging/current"), False)
    (target,) = targets
    assert (target.stage, target.artifact, target.repo, target.url) == ("staging", "mnist", ".", "")
    assert (target.accuracy, target.keep) == (PARAMS.smoke_accuracy, PARAMS.keep_versions)
    assert target.deployments.folder == Path("deployments/staging")
    assert capsys.readouterr().out == "it is now in place\n"


@pytest.mark.parametrize("error", [DeployError("no version is assigned to staging"), OSError(28, "No space left")])
def test_what_can_t_be_put_in_place_is_told_and_the_version_before_served(settings, tags, capsys, monkeypatch, error):
    def fails(_target):
        raise error

    tags.versions = [VERSION]
    monkeypatch.setattr(serve, "reconcile", fails)
    with pytest.raises(type(error)):
        serve.deployed(PARAMS, settings)
    current = place("v0.0.1")
    assert serve.deployed(PARAMS, settings).folder == current
    assert capsys.readouterr().err == f"error: {error}\nstaging: serving what is in place\n"


def test_tags_that_contradict_each_other_do_not_stop_what_is_in_place(settings, tmp_path, capsys, monkeypatch):
    repository = Tagged(tmp_path / "repository")
    repository.tag("mnist@v0.1.0", "a")
    repository.tag("mnist@v0.2.0", "a")
    shutil.copy("params.yaml", repository.path)
    monkeypatch.chdir(repository.path)
    with pytest.raises(RegistryError, match="contradict each other"):
        serve.deployed(PARAMS, settings)
    deployments = Deployments(Path("deployments/staging"))
    with deployments.locked(), deployments.arriving("v0.1.0") as part:
        deployments.state(part, Deployed("v0.1.0", repository.commits["a"], {}))
    deployments.switch("v0.1.0")
    deployments.report({"current": "v0.1.0"})
    assert serve.deployed(PARAMS, settings).folder == Path("deployments/staging/current")
    assert deployments.current().version == "v0.1.0"
    said = capsys.readouterr().err
    assert said.startswith("error: tags mnist@v0.1.0 (commit ")
    assert said.endswith("staging: serving what is in place\n")


@pytest.mark.parametrize("in_place", [False, True])
def test_a_machine_without_git_serves_what_it_has(settings, capsys, monkeypatch, in_place):
    model()
    expected = place("v0.1.0") if in_place else Path("models")
    monkeypatch.setenv("PATH", "/nowhere")
    assert serve.deployed(PARAMS, settings).folder == expected
    assert ("(git: not found; install it)" in capsys.readouterr().out) is not in_place


@pytest.fixture
def command(settings, monkeypatch, capsys):
    """Runs the command, up to what uvicorn would do; its output, and the address where it listens."""
    ended = SimpleNamespace(started=True, address=None)

    def run(sockets):
        ended.address = sockets[0].getsockname()
        sockets[0].close()

    def main(*options, **more):
        ended.run, more = run, more or {}
        monkeypatch.setattr(sys, "argv", ["serve", "--as-placed", *options])
        serve.main(**more)
        return capsys.readouterr().out, ended.address

    monkeypatch.setattr(serve, "server", lambda _app, _params: ended)
    monkeypatch.setattr(serve.signal, "signal", lambda *_: None)
    monkeypatch.setattr(serve.gc, "freeze", lambda: None)
    monkeypatch.setattr(serve.sys, "setswitchinterval", lambda _seconds: None)
    main.ended = ended
    return main


def test_the_address_is_the_option_s_else_the_environment_s(command, monkeypatch):
    said, (host, port) = command("--stage=staging", "--port=0")
    assert (said, host) == (f"staging: http://127.0.0.1:{port}\n", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("MNIST_PORT", str(taken.getsockname()[1]))
        with pytest.raises(
            SettingsError, match=r"can't listen on 127.0.0.1, port \d+: Address already in use.*; choose"
        ):
            command()
        command("--port=0")  # which comes first
    monkeypatch.setenv("MNIST_HOST", "::1")
    said, (host, port, *_) = command("--port=0")
    assert (said, host) == (f"production: http://[::1]:{port}\n", "::1")
    with pytest.raises(
        SettingsError, match=r"--port: expected a number from 0 \(any free port\) to 65535, found '99999'"
    ):
        command("--port=99999")
    with pytest.raises(SettingsError, match="stage 'test' is none of"):
        command("--stage=test")


def test_a_log_that_can_t_be_opened_is_told_before_anything_listens(command, monkeypatch):
    monkeypatch.setenv("MNIST_LOG_URL", "sqlite:////proc/no/log.db")
    with pytest.raises(LogError, match="can't be opened"):
        command("--port=0")
    assert command.ended.address is None


def test_what_runs_beside_it_begins_before_and_ends_after(command):
    order = []

    @contextlib.contextmanager
    def beside(app, settings):
        order.append((app.title, dataclasses.asdict(settings)["stage"], command.ended.address))
        yield
        order.append(command.ended.address)

    _, address = command("--port=0", "--stage=staging", beside=beside)
    assert order == [("MNIST", "staging", None), address]


def test_a_service_that_could_not_start_is_a_failure(command):
    command.ended.started = False
    with pytest.raises(SystemExit) as caught:
        command("--port=0")
    assert caught.value.code == 3
