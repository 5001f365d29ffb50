"""The service as a process of its own: what it loads, and what it keeps in memory under a flood of requests."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests import synthetic
from tests.delivery.serving import ROOT, body, wait_until
from tests.delivery.test_images import png, seven

# The service's own command, with a word at the end about what it has imported by then.
SCRIPT = """
import sys
from delivery import serve
try:
    serve.main()
except KeyboardInterrupt:
    print("loaded:", *sys.modules, flush=True)
"""
JSON = {"content-type": "application/json"}
MEGABYTE = 1_000_000


class Process:
    """A service that runs, on the models of a folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, "--port", "0"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "GIT_CEILING_DIRECTORIES": str(folder.parent)},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said = ""
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", self.said)):
            line = self.process.stdout.readline()
            assert line, self.said
            self.said += line
        self.address = ("127.0.0.1", int(found[1]))
        self.client = httpx.Client(base_url=found[0], timeout=20)

    def metric(self, name: str) -> float:
        """Value of a series, 0 where there is none yet."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0

    def stop(self) -> str:
        """End it as Ctrl-C does; what it says at last."""
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=30)
        return said


@pytest.fixture
def started(finished, tmp_path):
    """Starts a service on a finished pipeline's model, some params changed."""
    processes = []

    def start(**changes: object) -> Process:
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["delivery"] |= changes
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        shutil.copytree(finished / "models", tmp_path / "models")
        processes.append(Process(tmp_path))
        return processes[-1]

    yield start
    for one in processes:
        one.client.close()
        one.process.kill()
        one.process.wait()
        one.process.stdout.close()


def test_neither_torch_nor_dvc_is_ever_loaded(started):
    service = started()
    assert "no version of mnist has been released here" in service.said
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

    loaded = set(service.stop().partition("loaded: ")[2].split())
    assert service.process.returncode == 0
    assert {"onnxruntime", "fastapi", "delivery.images", "sqlalchemy"} <= loaded
    assert loaded & {"torch", "torchvision", "dvc", "dvclive", "gto", "onnx", "scipy", "pandas"} == set()


def test_a_flood_is_answered_with_503_and_not_kept_in_memory(started):
    """80 MB arrive at once, where 5 MB may wait: the others are told to come back, and their bodies are not kept."""
    service = started(max_waiting_bytes=5 * MEGABYTE, timeout_seconds=60)
    assert service.client.post("/v1/predict", content=body(*synthetic.digits(2).images), headers=JSON).is_success
    before = service.metric("process_resident_memory_bytes")
    header = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % MEGABYTE
    with contextlib.ExitStack() as stack:
        flood = [stack.enter_context(socket.create_connection(service.address, timeout=20)) for _ in range(80)]
        for one in flood:
            one.sendall(header)
        for one in flood:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # of one that was refused
                one.sendall(bytes(MEGABYTE - 1))
        refused = 'mnist_requests_total{method="POST",route="other",status="503"}'
        wait_until(lambda: service.metric(refused) == 75, "all but five are refused")
        assert service.metric("mnist_waiting_bytes") == 5 * MEGABYTE
        assert service.metric("process_resident_memory_bytes") - before < 30 * MEGABYTE
    assert service.client.post("/v1/predict", content=body(*synthetic.digits(2).images), headers=JSON).is_success
