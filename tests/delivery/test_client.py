import json
import socket

import numpy as np
import pytest

from benchmarks.running import free_port
from delivery import client
from delivery.client import Served, ServiceError, ready, reload
from tests.delivery.stand_in import stand_in


@pytest.fixture
def service(tmp_path):
    (tmp_path / "current").mkdir()
    (tmp_path / "current/version.json").write_text(json.dumps({"version": "v0.1.0", "commit": "c" * 40}))
    with stand_in(tmp_path) as running:
        yield running


def test_a_service_says_what_it_serves(service):
    answer = ready(f"{service.url}/")
    assert (answer["ready"], answer["version"], answer["commit"]) == (True, "v0.1.0", "c" * 40)


def test_a_service_that_is_not_ready_says_why(service):
    service.loaded = None
    assert ready(service.url) == {"ready": False, "stage": "staging", "reason": "no model"}


def test_that_nothing_listens_is_no_error_until_a_reload():
    url = f"http://127.0.0.1:{free_port()}"
    assert ready(url) is None
    with pytest.raises(ServiceError, match="nothing listens there any more"):
        reload(url, None)


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (200, b"[]"), (200, b"{}"), (404, b"{}"), (500, b"\xff")]
)
def test_another_service_is_recognised(service, status, body):
    service.answers["/readyz"] = status, body
    with pytest.raises(ServiceError, match=rf"/readyz: answers {status}.*is this the service of this project"):
        ready(service.url)


def test_a_service_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(client, "READY_SECONDS", 0.05)
    gives_up = pytest.raises(ServiceError, match=r"/readyz: no answer \(timed out\)")
    with socket.create_server(("127.0.0.1", 0)) as listener, gives_up:
        ready(f"http://127.0.0.1:{listener.getsockname()[1]}")


def test_a_token_is_shown_where_there_is_one(service):
    service.token = "secret"
    with pytest.raises(ServiceError, match=r"not allowed \(Not authenticated\); set MNIST_ADMIN_TOKEN"):
        reload(service.url, None)
    with pytest.raises(ServiceError, match="set MNIST_ADMIN_TOKEN"):
        reload(service.url, "another")
    reload(service.url, "secret")
    assert service.reloads == 1


def test_a_refusal_is_told_in_the_service_s_words(service):
    service.refused = {"v0.1.0"}
    with pytest.raises(ServiceError, match=r"the service refuses the version: v0.1.0: it does not do"):
        reload(service.url, None)


def test_no_proxy_stands_between_a_machine_and_itself(service, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert ready(service.url)["ready"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_token_is_not_taken_elsewhere(service, tmp_path, status):
    asked = []
    with stand_in(tmp_path) as other:
        other.answer = lambda *request: asked.append(request) or (200, b'{"ready": true, "predictions": []}')
        service.elsewhere = f"{other.url}/x"
        service.answers = dict.fromkeys(("/readyz", "/v1/admin/reload", "/v1/predict"), (status, b""))
        images = np.zeros((1, 28, 28), np.uint8)
        for ask in (
            lambda: ready(service.url),
            lambda: reload(service.url, "secret"),
            lambda: Served(service.url, "v0.1.0").probabilities(images),
        ):
            with pytest.raises(ServiceError, match=f"leads to {other.url}/x, which is not followed"):
                ask()
    assert asked == []
