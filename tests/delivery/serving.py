"""The service as it runs, in a thread of the tests."""

import contextlib
import dataclasses
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI

from delivery.history import History, Rows
from delivery.serve import listen, server
from delivery.service import Service, create_app
from delivery.settings import DeliveryParams, ServiceSettings
from delivery.slot import Source
from digits import params

ROOT = Path(__file__).parents[2]
PARAMS = params.load(DeliveryParams, "delivery", ROOT / "params.yaml")


class Running:
    """A service that answers, and what a test asks it."""

    def __init__(self, service: Service, client: httpx.Client, address: tuple[str, int]) -> None:
        self.service, self.client, self.address = service, client, address

    def predict(self, content: bytes, kind: str) -> httpx.Response:
        return self.client.post("/v1/predict", content=content, headers={"content-type": kind})

    def logged(self, count: int) -> Rows:
        """The newest predictions, by time."""
        return History(self.service.log.engine).latest(count)

    def count(self) -> int:
        """How many predictions the log has."""
        return History(self.service.log.engine).count()

    def connect(self, sent: bytes = b"") -> socket.socket:
        """A connection on which so much was sent."""
        connection = socket.create_connection(self.address, timeout=20)
        connection.sendall(sent)
        return connection


def body(*images: np.ndarray) -> bytes:
    """JSON of a request for predictions."""
    return json.dumps({"images": [image.tolist() for image in images]}).encode()


def placed(folder: Path, outputs: Path) -> Source:
    """The model and the smoke set of a finished pipeline, in a folder of their own."""
    folder.mkdir()
    for name in ("model.onnx", "smoke.npz"):
        shutil.copy(outputs / "models" / name, folder)
    return Source(folder, workspace=True)


@contextlib.contextmanager
def serving(
    folder: Path, source: Any, token: str | None = None, log_url: str | None = None, **changes: Any
) -> Iterator[Running]:
    """A service whose log lies in `folder` unless it is said where, with some params changed."""
    delivery = dataclasses.replace(PARAMS, **changes)
    settings = ServiceSettings(
        stage="staging",
        host="127.0.0.1",
        port=0,
        deployments=folder / "deployments",
        log_url=log_url or f"sqlite:///{folder}/log.db",
        admin_token=token,
    )
    app = create_app(delivery, settings, source)
    with httpx.Client(timeout=20) as client, answering(app, delivery) as address:
        client.base_url = f"http://{address[0]}:{address[1]}"
        client.get("/healthz")  # the socket takes connections before the service does
        yield Running(app.state.service, client, address)


@contextlib.contextmanager
def answering(app: FastAPI, delivery: DeliveryParams = PARAMS) -> Iterator[tuple[str, int]]:
    """Address at which an application answers, as `delivery.serve` lets it."""
    running, listening = server(app, delivery), listen("127.0.0.1", 0)
    thread = threading.Thread(target=running.run, args=([listening],))
    thread.start()
    try:
        yield listening.getsockname()
    finally:
        running.should_exit = True
        thread.join()
        listening.close()


def wait_until(condition: Any, what: str) -> None:
    """Return when it is so; fail where it never will be."""
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.01)
