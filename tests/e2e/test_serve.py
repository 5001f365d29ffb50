"""`make serve` in a fresh clone, a template copy and an archive; and what is on record when the service is killed."""

import json
import random
import re
import shutil
import signal
import socket
import sqlite3
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import numpy as np
import pytest

from delivery import client
from delivery.history import History
from delivery.schema import connect
from tests.delivery.postgresql import server
from tests.e2e.project import ROOT, Project, wait_for
from tests.e2e.service import Clients, started
from tests.e2e.test_make import provide_environment

pytestmark = pytest.mark.e2e

README = (ROOT / "README.md").read_text(encoding="utf-8")
SERVE = ["python", "-m", "delivery.serve", "--port", "0"]


@pytest.fixture(scope="module")
def workspace(pulled, tmp_path_factory):
    """What serving needs and no more: neither Git nor DVC. Do not change it."""
    folder = tmp_path_factory.mktemp("workspace")
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copytree(pulled / "models", folder / "models")
    return Project(folder, pulled.env)


@pytest.fixture
def place(workspace, tmp_path):
    """A copy, to be changed."""
    return workspace.copy(tmp_path / "place")


def predictions(url):
    probabilities = client.Served(url, client.ready(url)["version"]).probabilities(np.zeros((3, 28, 28), np.uint8))
    assert probabilities.shape == (3, 10)
    return client.ready(url)


def records(project, url=None):
    """All predictions in a log, read without a service."""
    engine = connect(url or f"sqlite:///{project / 'logs/production.db'}")
    try:
        return list(History(engine).predictions())
    finally:
        engine.dispose()


def sound(project):
    """Whether SQLite finds the log as it should be."""
    connection = sqlite3.connect(project / "logs/production.db")
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


def asked_as_the_readme_does(project, url):
    """Type what the README says, and hold the answers against those that it shows; how many there were."""
    section = README.partition("\n## Serve\n")[2].partition("\n#")[0]
    (pictures,) = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    project.sh(pictures)
    identifier = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    asked = re.findall(r"^\$ (curl (?:.*\\\n)?.*)\n(\{.*)$", section, re.MULTILINE)
    ids = {}
    for command, shown in asked:
        typed = command.replace("http://127.0.0.1:8000", url).replace("curl ", "curl --silent --show-error ", 1)
        for known, ours in ids.items():
            typed = typed.replace(known, ours)
        said = project.sh(typed).strip()
        expected = re.escape(re.sub(identifier, "ID", shown)).replace(re.escape("..."), ".*")
        assert re.fullmatch(expected.replace("ID", identifier), said), said
        ids |= zip(re.findall(identifier, shown), re.findall(identifier, said), strict=True)
    return len(asked)


def test_a_fresh_clone_serves_the_released_version(pulled, tmp_path):
    owner = pulled.clone(tmp_path / "owner")
    owner.run("gto", "register", "mnist", "--version", "v0.1.0")
    owner.run("gto", "assign", "mnist", "--version", "v0.1.0", "--stage", "production")
    project = owner.clone(tmp_path / "clone")
    provide_environment(project)
    with started(
        ["make", "serve", "STAGE=production", "PORT=0"], project.path, project.env, tmp_path / "log"
    ) as service:
        answer = predictions(service.ready())
        assert (answer["stage"], answer["version"]) == ("production", "v0.1.0")
        assert answer["commit"] == owner.git("rev-parse", "HEAD").strip()
        assert "production: v0.1.0 (commit" in service.said
        assert asked_as_the_readme_does(project, service.url) == 4
        service.end()
    wait_for(lambda: not (project / "logs/production.db-wal").exists())  # it was closed, and not killed
    assert sum(map(len, records(project))) == 3 + 1 + 1 + 2
    assert "Traceback" not in service.said


@pytest.mark.parametrize("history", [True, False], ids=["template copy", "archive"])
def test_where_nothing_was_released_it_says_so_and_brings_the_workspace_s_model(pulled, tmp_path, history):
    project = pulled.clone(tmp_path / "copy")
    if not history:
        shutil.rmtree(project / ".git")
    provide_environment(project)
    make = ["make", "serve", "PORT=0"]
    store = (project / ".dvcstore").rename(project / ".dvcstore-away")
    said = project.run(*make, fails=True)
    assert said.startswith("error: production: no version of mnist is released here (")
    assert "), and models/model.onnx can't be brought from the DVC remote (" in said
    assert said.splitlines()[0].endswith("or train one with `make repro`, in a clone")
    store.rename(project / ".dvcstore")
    with started(make, project.path, project.env, tmp_path / "log") as service:
        assert predictions(service.ready())["version"] == "workspace"
        assert "serving models/model.onnx as it is, as version 'workspace'" in service.said
        service.end()
    wait_for(lambda: not (project / "logs/production.db-wal").exists())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_archive_is_served_until_it_is_asked_to_stop(place, number):
    with started(SERVE, place.path, place.env, place / "log") as service:
        with Clients(service.ready()) as asking:
            wait_for(lambda: len(asking.answered) > 20)
            code = service.end(number)
        assert code == 0, service.said
        assert "no version of mnist is released here (.: `git for-each-ref` failed: " in service.said
        assert "Traceback" not in service.said
    # Whoever had been asked got his answer, and it is on record.
    assert {one for rows in records(place) for one in rows.ids} == set(asking.answered)
    assert not (place / "logs/production.db-wal").exists()
    (reader,) = re.findall(r"^```python\n(from delivery\.history .*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert f"({min(len(asking.answered), 1000)}, 28, 28)" in place.run("python", "-c", reader).splitlines()[0]


def test_a_stage_without_a_version_is_an_error_unless_something_else_deploys(pulled, tmp_path):
    owner = pulled.clone(tmp_path / "owner")
    owner.run("gto", "register", "mnist", "--version", "v0.1.0")
    said = owner.run(*SERVE, fails=True)
    assert said == "error: no version is assigned to production; `make promote STAGE=production` assigns one\n"
    with started([*SERVE, "--as-placed"], owner.path, owner.env, tmp_path / "log") as service:
        assert client.ready(service.url)["ready"] is False


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"MNIST_LOG_URL": "sqlite:////proc/no/log.db"},
            "error: sqlite:////proc/no/log.db: the prediction log can't be",
        ),
        ({"MNIST_LOG_URL": "mysql://you:secret@db/log"}, "error: mysql://you:***@db/log: expected sqlite:///... or"),
        ({"MNIST_HOST": "0.0.0.0"}, "error: 0.0.0.0 can be reached from other machines"),
        ({"MNIST_HOST": "192.0.2.1", "MNIST_ADMIN_TOKEN": "x"}, "error: can't listen on 192.0.2.1, port 0"),
    ],
)
def test_what_can_t_be_served_is_told_in_one_line(workspace, settings, said):
    *_, last = workspace.run(*SERVE, env=settings, fails=True).splitlines()
    assert last.startswith(said)


def test_without_room_for_the_log_nothing_is_answered(place):
    """The limit is that of a file's size, which SQLite meets as it meets a full disk."""
    limited = ["sh", "-c", 'ulimit -f 800 && exec "$@"', "sh", *SERVE]
    refused = []
    with started(limited, place.path, place.env, place / "log") as service:
        url = service.ready()
        answered = {}
        while not refused:
            status, headers, answer = post(url, np.full((100, 28, 28), len(answered) % 256))
            if status == 200:
                answered |= {one["id"]: one["label"] for one in answer["predictions"]}
            else:
                refused.append((status, headers["Retry-After"], answer))
            assert len(answered) < 2000
        status, retry, answer = refused[0]
        assert (status, retry) == (503, "1")
        assert answer["detail"].startswith("the prediction log can't be written: ")
        assert client.ready(url)["ready"] is True  # what answers is there; what keeps its answers is not
        assert service.end() == 0, service.said
    found = {one: label for rows in records(place) for one, label in zip(rows.ids, rows.labels, strict=True)}
    assert found == answered
    assert sound(place)


def test_a_service_with_too_much_to_do_can_be_given_another_version(place):
    place.set(delivery__max_waiting=1)
    with started(SERVE, place.path, place.env, place / "log") as service:
        url = service.ready()
        with socket.create_connection(urlsplit(url).netloc.split(":")) as half:
            half.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 784\r\n\r\n"
            )
            wait_for(lambda: post(url, np.zeros((1, 28, 28), int))[0] == 503)
            client.reload(url, None)
            assert client.ready(url)["version"] == "workspace"
        assert service.end() == 0, service.said


def post(url, images):
    body = json.dumps({"images": images.tolist()}).encode()
    request = urllib.request.Request(f"{url}/v1/predict", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.headers, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.load(error)


@pytest.fixture(params=["sqlite", "postgresql"])
def log_url(request, place, tmp_path):
    """A log of each kind, for the service in `place`."""
    if request.param == "sqlite":
        yield f"sqlite:///{place / 'logs/production.db'}"
    else:
        with server(tmp_path / "data") as running:
            yield running.url(running.new_database())


def test_after_kill_9_every_answered_prediction_is_on_record(place, log_url):
    moments, answered, kind = random.Random(4), {}, log_url.partition(":")[0]
    for kill in range(5 if kind == "sqlite" else 3):
        with started(SERVE, place.path, place.env | {"MNIST_LOG_URL": log_url}, place / "log") as service:
            asking, moment = Clients(service.ready(), seed=kill), moments.randrange(5, 200)
            with asking:
                wait_for(lambda asking=asking, moment=moment: len(asking.answered) >= moment)
                assert service.end(signal.SIGKILL) == -signal.SIGKILL
        answered |= asking.answered

        assert kind != "sqlite" or sound(place)
        on_record = {
            one: (int(rows.labels[row]), rows.pixels[row].tobytes())
            for rows in records(place, log_url)
            for row, one in enumerate(rows.ids)
        }
        assert {one: on_record.get(one) for one in answered} == answered
        # What was on record and not answered yet: at most one request of each client.
        assert len(on_record) - len(answered) <= 4 * (kill + 1)
