import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from delivery import deploy, registry
from delivery.deployments import Deployed, Deployments
from delivery.git import GitError
from delivery.reconcile import DeployError, Target
from delivery.settings import SettingsError
from tests.delivery.released import ROOT


class Clock(threading.Event):
    """Stops the watch after so many rounds, and lets time pass between them."""

    def __init__(self, rounds):
        super().__init__()
        self.rounds, self.now = rounds, 0.0

    def wait(self, timeout=None):
        self.now += timeout
        self.rounds -= 1
        if not self.rounds:
            self.set()
        return self.is_set()


@pytest.fixture
def target(tmp_path):
    return Target("staging", "mnist", "somewhere", Deployments(tmp_path / "staging"), "", None, 0.9, 2)


@pytest.fixture
def watched(target, monkeypatch):
    """Run a watch whose rounds find these fingerprints; says in which rounds it reconciled."""

    def run(fingerprints, outcomes=(), served=True):
        clock, ran, left = Clock(len(fingerprints)), [], list(outcomes)
        seen = iter(fingerprints)

        def fingerprint(_):
            found = next(seen)
            if isinstance(found, Exception):
                raise found
            return found

        def served_as_placed(_):
            found = served if isinstance(served, bool) else served.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

        def reconcile(_):
            ran.append(len(fingerprints) - clock.rounds)
            outcome = left.pop(0) if left else None
            if outcome:
                raise outcome
            return "done"

        monkeypatch.setattr(registry, "fingerprint", fingerprint)
        monkeypatch.setattr(deploy, "reconcile", reconcile)
        monkeypatch.setattr(deploy, "_served_as_placed", served_as_placed)
        monkeypatch.setattr(deploy.time, "monotonic", lambda: clock.now)
        deploy.watch(target, 5.0, clock)
        return ran

    return run


def test_a_watch_reconciles_when_the_tags_change(watched, capsys):
    assert watched(["a", "a", "b", "b", "a"]) == [0, 2, 4]
    assert capsys.readouterr().out.splitlines() == [
        "staging: watching somewhere, every 5 s",
        *["done"] * 3,
        "staging: no longer watching",
    ]


def test_a_watch_reconciles_when_the_service_answers_with_another_version(watched):
    assert watched(["a"] * 4, served=False) == [0, 1, 2, 3]


def test_a_repository_that_can_t_be_reached_is_reported_from_the_first_look_on(watched, capsys):
    assert watched([GitError("no route")] * 2, [GitError("no route")]) == [0]
    assert capsys.readouterr().err == "error: no route\n"


def test_a_watch_survives_errors_and_tries_again_ever_later(watched, capsys):
    errors = [DeployError("refused"), OSError(28, "No space left"), ZeroDivisionError("a defect")]
    assert watched(["a"] * 20, errors) == [0, 2, 6, 14]
    said = capsys.readouterr().err
    assert "error: refused" in said
    assert "error: [Errno 28] No space left" in said
    assert "ZeroDivisionError: a defect" in said


def test_a_watch_survives_a_machine_that_is_short_of_something(watched, capsys):
    """Whatever is looked at: the tags, or what the service answers with."""
    short = OSError(24, "Too many open files")
    assert watched([short] * 3 + ["a"] * 2, [short]) == [0, 2, 3]
    assert capsys.readouterr().err == "error: [Errno 24] Too many open files\n"

    assert watched(["a"] * 6, served=[True, short, True, True]) == [0, 3]
    assert capsys.readouterr().err == "error: [Errno 24] Too many open files\n"


def test_a_watch_tries_again_at_once_when_the_tags_change(watched):
    errors = [DeployError("refused")] * 5
    assert watched(["a"] * 8 + ["b"] * 3, errors) == [0, 2, 6, 8]


def test_a_repository_that_can_not_be_reached_is_reported_by_reconciling(watched):
    gone = GitError("no answer")
    assert watched(["a", gone, gone, gone, "a", "a"], [None, gone, gone]) == [0, 1, 3, 4]


def test_a_service_that_serves_what_is_in_place_is_left_alone(target, monkeypatch):
    assert not deploy._served_as_placed(target)  # nothing is in place
    with target.deployments.locked(), target.deployments.arriving("v0.1.0") as part:
        target.deployments.state(part, Deployed("v0.1.0", "c", {}))
    target.deployments.switch("v0.1.0")
    assert deploy._served_as_placed(target)

    told = dataclasses.replace(target, url="http://stand-in")
    for answer, fine in [
        (None, True),
        ({"ready": True, "version": "v0.1.0", "commit": "c"}, True),
        ({"ready": True, "version": "v0.2.0", "commit": "c"}, False),
        ({"ready": True, "version": "v0.1.0", "commit": "d"}, False),
        ({"ready": False, "reason": "no model"}, False),
    ]:
        monkeypatch.setattr(deploy.client, "ready", lambda _, answer=answer: answer)
        assert deploy._served_as_placed(told) is fine

    def broken(_):
        raise deploy.client.ServiceError("no answer")

    monkeypatch.setattr(deploy.client, "ready", broken)
    assert not deploy._served_as_placed(told)


@pytest.fixture
def called(monkeypatch):
    """Run the command with arguments; gives the target that it reconciles."""

    def run(*arguments):
        targets = []
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", ["deploy", *arguments])
        monkeypatch.setattr(deploy, "reconcile", lambda target: targets.append(target) or "done")
        deploy.main()
        return targets[0]

    return run


def test_what_is_not_said_is_taken_from_params_and_environment(called, monkeypatch):
    monkeypatch.delenv("MNIST_DEPLOYMENTS", raising=False)
    monkeypatch.delenv("MNIST_ADMIN_TOKEN", raising=False)
    target = called("--stage", "staging")
    assert (target.stage, target.artifact, target.repo, target.url) == (
        "staging",
        "mnist",
        ".",
        "http://127.0.0.1:8001",
    )
    assert (str(target.deployments.folder), target.token) == ("deployments/staging", None)

    monkeypatch.setenv("MNIST_DEPLOYMENTS", "/srv/mnist")
    monkeypatch.setenv("MNIST_ADMIN_TOKEN", "secret")
    target = called("--stage", "production", "--url", "")
    assert (str(target.deployments.folder), target.url, target.token) == ("/srv/mnist/production", "", "secret")
    assert str(called("--stage", "staging", "--to", "x").deployments.folder) == "x/staging"


def test_a_stage_that_is_none_is_refused(called):
    with pytest.raises(SettingsError, match=r"stage 'stagin' is none of params.yaml's delivery.stages: staging, prod"):
        called("--stage", "stagin")


def test_sigterm_ends_a_watch_and_failures_do_not(tmp_path):
    """As a service manager runs it, on a repository that is not there yet."""
    command = [sys.executable, "-m", "delivery.deploy", "--stage", "staging", "--url", "", "--to", str(tmp_path / "to")]
    watch = ["--watch", "--interval", "0.05", "--repo", str(tmp_path / "nowhere")]
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*command, *watch], cwd=ROOT, env=env, stdout=-1, stderr=-1, text=True) as process:
        for _ in range(2):
            while not process.stderr.readline().startswith("error: "):
                assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate()
    assert process.returncode == 0
    assert out.splitlines()[-1] == "staging: no longer watching"
    assert "nowhere" in json.loads((tmp_path / "to/staging/status.json").read_text())["error"]
