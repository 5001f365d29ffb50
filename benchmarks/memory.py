"""Resident memory of the service after 10,000 and after 1,000,000 predictions.

A third of them are requests of one image each, so that what every request left behind would show, as what every
prediction left behind; labels and requests that are refused come in between.

python -m benchmarks.memory [--predictions 1000000]    (needs wrk: apt install wrk)
"""

import argparse
import http.client
import json
import re
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.machine import publish, table
from benchmarks.running import SMOKE, free_port, resident_bytes, service, started, workspace, write_requests, wrk
from digits.storage import read_arrays

BATCH = 100
FIRST = 10_000  # predictions, after which memory is measured for the first time
STEPS = 3  # measurements between the first and the last one
SINGLE = 1 / 3  # of the predictions are requests of their own
# Six seconds of single images, one of labels and one of what is refused take turns with seconds of batches.
SINGLE_SECONDS = 6
UNKNOWN = "0190a7c0-0000-7000-8000-000000000000"  # a prediction that was never made


class Service:
    """One that is asked by wrk."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self._process, self._port, self._folder = process, port, folder
        self.failed = self.single = 0
        self._images = [image.tolist() for image in read_arrays(SMOKE, "images")[0]]
        write_requests(folder / "single.lua")
        write_requests(folder / "batches.lua", BATCH)

    def ask(self, predictions: int) -> None:
        """Ask in turns until there have been so many predictions."""
        while (count := self.predictions()) < predictions:
            if self.single >= SINGLE * count > 0:
                self.failed += wrk(self._port, self._folder / "batches.lua", 1).failed
                continue
            load = wrk(self._port, self._folder / "single.lua", SINGLE_SECONDS)
            self.single += load.requests
            self.failed += load.failed
            _write(self._folder / "labels.lua", self._labels())
            self.failed += wrk(self._port, self._folder / "labels.lua", 1).failed
            _write(self._folder / "refused.lua", self._refused())
            load = wrk(self._port, self._folder / "refused.lua", 1)
            self.failed += abs(load.requests - load.failed)  # each should be refused

    def _labels(self) -> list[tuple[str, str, bytes]]:
        """True labels of new predictions: stored, corrected, and corrected back."""
        body = json.dumps({"images": [self._images[n % len(self._images)] for n in range(BATCH)]}).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
        ids = [prediction["id"] for prediction in json.load(connection.getresponse())["predictions"]]
        connection.close()
        return [_label(id=one, label=label, correct=True) for label in (3, 4) for one in ids]

    def _refused(self) -> list[tuple[str, str, bytes]]:
        """A bit of all that is answered with 4xx."""
        wrong: list[Any] = [[], [[0] * 28] * 27, [["a"] * 28] * 28, [[float("nan")] * 28] * 28]
        return [
            *(("/v1/predict", "application/json", json.dumps({"image": image}).encode()) for image in wrong),
            ("/v1/predict", "image/png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00"),
            ("/v1/predict", "text/plain", b"7"),
            _label(id=UNKNOWN, label=7),
        ]

    def predictions(self) -> int:
        """How many there have been, as the service counts them, once it is at rest."""
        return sum(count for name, count in self.counts().items() if name.startswith("mnist_predictions_total"))

    def requests(self, route: str, statuses: str) -> int:
        """How many of a route (or any, "") it has answered with a status that fits a pattern."""
        pattern = re.compile(f'mnist_requests_total{{.*route="{route or ".*"}",status="{statuses}"}}')
        return sum(count for name, count in self.counts().items() if pattern.fullmatch(name))

    def counts(self) -> dict[str, int]:
        """What the service has counted, once it is at rest.

        wrk leaves requests behind at its end: were the next ones to come on top of them, there would be more than 16.
        """
        while True:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=60) as answer:
                figures = [line.rpartition(" ") for line in answer.read().decode().splitlines()]
            if ("mnist_waiting_requests", " ", "1.0") in figures:  # this one
                return {name: int(float(value)) for name, _, value in figures if "_total{" in name and name[0] != "#"}
            time.sleep(0.05)

    def megabytes(self) -> float:
        """Resident memory."""
        return resident_bytes(self._process) / 1e6


def _label(**fields: object) -> tuple[str, str, bytes]:
    return "/v1/feedback", "application/json", json.dumps(fields).encode()


def _write(path: Path, requests: list[tuple[str, str, bytes]]) -> None:
    """A wrk script that sends requests of a path, a type and a body in turn."""
    rows = ",\n".join(f"{{'{route}', '{kind}', '{_quoted(body)}'}}" for route, kind, body in requests)
    path.write_text(
        f"local requests = {{{rows}}}\nlocal turn = 0\n"
        "request = function()\n  turn = turn % #requests + 1\n  local one = requests[turn]\n"
        "  return wrk.format('POST', one[1], {['Content-Type'] = one[2]}, one[3])\nend\n"
    )


def _quoted(body: bytes) -> str:
    return "".join(f"\\{byte:03d}" for byte in body)


def main() -> None:
    """Measure one service, after as many predictions as it takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=1_000_000)
    last = parser.parse_args().predictions
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        with started(service(port), port, workspace(folder / "service")) as process:
            asked = Service(process, port, folder)
            measured = [(0, 0, asked.megabytes())]
            for step in range(STEPS + 2):
                asked.ask(FIRST + (last - FIRST) * step // (STEPS + 1))
                requests = asked.requests("/v1/(predict|feedback)", "...")
                measured.append((asked.predictions(), requests, asked.megabytes()))
                print(*measured[-1], flush=True)
            labels, refused = asked.requests("/v1/feedback", "200"), asked.requests("", "4..")
        log = (folder / "service/logs/production.db").stat().st_size
    first = measured[1][2]
    rows = [[f"{count:,}", f"{sent:,}", f"{size:.1f}", f"{size / first:.3f}"] for count, sent, size in measured]
    body = table(["predictions", "requests", "resident memory, MB", "of that after the first 10,000"], rows)
    body += (
        f"\n\nOne service, asked on 16 connections for {asked.single:,} single images and for the others in batches of "
        f"{BATCH}, and in between sent {labels:,} labels and {refused:,} requests that it refused, as it should; "
        f"{asked.failed} requests failed; the log had {log / 1e9:.2f} GB in the end."
    )
    publish("memory", f"python -m benchmarks.memory --predictions {last}", body, "fastapi", "uvicorn", "onnxruntime")


if __name__ == "__main__":
    main()
