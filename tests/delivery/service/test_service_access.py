"""Who may say what is true, and reload the model."""

import asyncio

import pytest
from fastapi import HTTPException
from starlette.requests import Request

from tests.delivery.service.asked import IMAGES, TOKEN, predicted
from tests.delivery.serving import serving


@pytest.mark.parametrize("path", ["/v1/feedback", "/v1/admin/reload"])
def test_who_may_say_what_is_true_and_reload(running, guarded, path):
    (name,) = predicted(guarded, IMAGES[0])  # for which nobody needs a token
    content = {"id": name, "label": 1}
    for headers in ({}, {"authorization": "Bearer"}, {"authorization": f"Basic {TOKEN}"}, bearer("wrong"), bearer("ö")):
        answer = guarded.client.post(path, json=content, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json() == {"detail": "the token is missing or wrong"}
    assert guarded.client.post(path, json=content, headers=bearer(TOKEN)).status_code == 200
    foreign = {**bearer(TOKEN), "host": "mnist.example.org", "origin": "https://elsewhere.example.org"}
    assert guarded.client.post(path, json=content, headers=foreign).status_code == 200

    (name,) = predicted(running, IMAGES[0])
    assert running.client.post(path, json={"id": name, "label": 1}).status_code == 200


def bearer(token: str) -> dict[str, bytes]:
    return {"authorization": f"Bearer {token}".encode("latin-1")}


@pytest.mark.parametrize("path", ["/v1/feedback", "/v1/admin/reload"])
def test_without_a_token_pages_from_elsewhere_may_not(running, path):
    """By a name of theirs that resolves to this machine, or by this machine's name, which browsers let them ask."""
    (name,) = predicted(running, IMAGES[0])
    here = "{}:{}".format(*running.address)
    for headers in (
        {"host": "elsewhere.example.org"},
        {"host": f"elsewhere.example.org:{running.address[1]}", "origin": "http://elsewhere.example.org"},
        {"origin": "https://elsewhere.example.org"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "null"},
    ):
        answer = running.client.post(path, json={"id": name, "label": 1}, headers=headers)
        assert (answer.status_code, answer.json()["detail"]) == (
            403,
            "only from this machine, or set MNIST_ADMIN_TOKEN",
        )
    own = running.client.post(path, json={"id": name, "label": 1}, headers={"origin": f"http://{here}"})
    assert own.status_code == 200


@pytest.mark.parametrize("address", [("192.0.2.1", 1), ("2001:db8::1", 1), None])
def test_without_a_token_other_machines_may_not(running, address):
    scope = {"type": "http", "client": address, "headers": [(b"host", b"localhost")], "path": "/", "server": None}
    with pytest.raises(HTTPException, match="403"):
        asyncio.run(running.service.authorise(Request(scope), None))


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"])
def test_without_a_token_nobody_behind_a_proxy_of_this_machine_may(stub, tmp_path, header):
    stub.open.set()
    with serving(tmp_path, stub) as running:
        assert running.client.post("/v1/admin/reload").status_code == 200
        assert running.client.post("/v1/admin/reload", headers={header: "127.0.0.1"}).status_code == 403
