"""The service as a process of its own: what it loads, and what it keeps in memory under a flood of requests."""

import contextlib
import json
import os
import re
import shutil
import socket
import sys

import httpx
import pytest
import yaml

from tests import synthetic
from tests.delivery.pictures import png, seven
from tests.delivery.serving import ROOT, body, wait_until
from tests.e2e.service import Started, started

# The service's own command, with a word at the end about what it has imported by then.
SCRIPT = """
import sys
from delivery import serve
try:
    serve.main()
finally:
    print("loaded:", *sys.modules, flush=True)
"""
JSON = {"content-type": "application/json"}
MEGABYTE = 1_000_000
ROUTES = ("/v1/predict", "other")  # where a request is refused while it arrives, and before


class Process(Started):
    """A service that runs, and what a test asks it."""

    client: httpx.Client

    def metric(self, name: str) -> float:
        """Value of a series, 0 where there is none yet."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0


@pytest.fixture
def serve(finished, tmp_path):
    """Starts a service on a finished pipeline's model, some params changed."""
    with contextlib.ExitStack() as stack:

        def start(**changes: object) -> Process:
            params = yaml.safe_load((ROOT / "params.yaml").read_text())
            params["delivery"] |= changes
            (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
            shutil.copytree(finished / "models", tmp_path / "models")
            command = [sys.executable, "-c", SCRIPT, "--port", "0"]
            env = os.environ | {"PYTHONPATH": str(ROOT), "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
            running = stack.enter_context(started(command, tmp_path, env, tmp_path / "said"))
            process = Process(running.process, running.log)
            process.client = stack.enter_context(httpx.Client(base_url=process.ready(), timeout=20))
            return process

        yield start


def test_neither_torch_nor_dvc_is_ever_loaded(serve):
    service = serve()
    assert "no version of mnist is released here" in service.said
    ask = service.client
    answers = [
        ask.post("/v1/predict", content=body(*synthetic.digits(3).images), headers=JSON),
        ask.post("/v1/predict", content=png(seven(90, 60)), headers={"content-type": "image/png"}),
        ask.post("/v1/predict", files=[("image", ("seven.png", png(seven(90, 60)), "image/png"))]),
        ask.post("/v1/admin/reload"),
        *(ask.get(path) for path in ("/", "/readyz", "/metrics", "/openapi.json")),
    ]
    identifier = answers[0].json()["predictions"][0]["id"]
    answers.append(ask.post("/v1/feedback", content=json.dumps({"id": identifier, "label": 1}), headers=JSON))
    assert {answer.status_code for answer in answers} == {200}

    ask.close()
    assert service.end() == 0
    loaded = set(service.said.partition("loaded: ")[2].split())
    assert {"onnxruntime", "fastapi", "delivery.images", "sqlalchemy"} <= loaded
    assert loaded & {"torch", "torchvision", "dvc", "dvclive", "gto", "onnx", "scipy", "pandas"} == set()


def test_a_flood_is_answered_with_503_and_not_kept_in_memory(serve):
    """80 MB arrive at once, where 5 MB may wait: the others are told to come back, and their bodies are not kept."""
    service = serve(max_waiting_bytes=5 * MEGABYTE, timeout_seconds=60)
    assert service.client.post("/v1/predict", content=body(*synthetic.digits(2).images), headers=JSON).is_success
    before = service.metric("process_resident_memory_bytes")
    header = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % MEGABYTE
    address = service.client.base_url.host, service.client.base_url.port
    with contextlib.ExitStack() as stack:
        flood = [stack.enter_context(socket.create_connection(address, timeout=20)) for _ in range(80)]
        for one in flood:
            one.sendall(header)
        for one in flood:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # of one that was refused
                one.sendall(bytes(MEGABYTE - 1))
        refused = ['mnist_requests_total{method="POST",route="%s",status="503"}' % route for route in ROUTES]  # noqa: UP031
        wait_until(lambda: sum(map(service.metric, refused)) == 75, "all but five are refused")
        assert service.metric("mnist_waiting_bytes") == 5 * (MEGABYTE - 1)
        assert service.metric("process_resident_memory_bytes") - before < 30 * MEGABYTE
    wait_until(lambda: service.metric("mnist_waiting_bytes") == 0, "what hung up is forgotten")
    assert service.client.post("/v1/predict", content=body(*synthetic.digits(2).images), headers=JSON).is_success
