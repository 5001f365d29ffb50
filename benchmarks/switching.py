"""Promotion and rollback under load: failed requests, answers of the wrong version, and seconds from tag to serving.

python -m benchmarks.switching [--switches 100] [--fetched 10]    (needs wrk: apt install wrk)
"""

import argparse
import contextlib
import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.asking import Answer, asking
from benchmarks.machine import publish, table
from benchmarks.released import VERSIONS, Released
from benchmarks.running import SMOKE, Load, free_port, service, started, workspace, write_requests, wrk_meanwhile
from digits.storage import read_arrays

STAGE = "staging"
INTERVAL = 0.2  # seconds between two looks of the watch
CHECKED = 4  # connections whose answers are looked at, beside the 16 of wrk
PATIENCE = 120.0  # seconds for one switch
STEPS = ("git", "dvc", "smoke", "switch", "warming")  # as status.json has them


class Switch(NamedTuple):
    """One assignment; the clock is `time.monotonic`."""

    version: str
    tagged: float
    reported: float  # when the watch said that the service serves it
    seconds: dict[str, float]  # by step

    @property
    def whole(self) -> float:
        """Seconds from tag to serving."""
        return self.reported - self.tagged


def main() -> None:
    """Switch under load, then without load to versions that have to be fetched."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switches", type=int, default=100, help="under load, between two versions on disk")
    parser.add_argument("--fetched", type=int, default=10, help="to a version that has to be fetched")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = Stage(folder)
        stack.enter_context(stage.running())
        for version in VERSIONS:  # both are on disk from here on
            stage.assign(version)
        write_requests(folder / "requests.lua")
        checked = asking(stage.port, folder / "answers", CHECKED)
        with wrk_meanwhile(stage.port, folder / "requests.lua") as load, checked as client:
            loaded = [stage.assign(VERSIONS[number % 2]) for number in range(arguments.switches)]
        fetched = []
        for number in range(arguments.fetched):
            version = VERSIONS[(arguments.switches + number) % 2]
            shutil.rmtree(stage.versions / version)
            fetched.append(stage.assign(version))
    report(loaded, load[0], client.answers, fetched, f"--switches {arguments.switches} --fetched {arguments.fetched}")


class Stage:
    """A service and the watch that deploys to it, beside a repository whose tags say what.

    Args:
        folder: of all three.
    """

    def __init__(self, folder: Path) -> None:
        self._released = Released(folder / "repository")
        self._place = workspace(folder / "service")
        self._deployments = folder / "deployments"
        self.versions = self._deployments / STAGE / "versions"
        self.port = free_port()
        self._said: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()  # by the watch, and when

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The service, still without a version, and the watch."""
        os.environ["MNIST_DEPLOYMENTS"] = str(self._deployments)
        serve = [*service(self.port), "--stage", STAGE, "--as-placed"]
        url = f"http://127.0.0.1:{self.port}"
        watch = [sys.executable, "-m", "delivery.deploy", f"--stage={STAGE}", "--watch", f"--interval={INTERVAL}"]
        watch += [f"--repo={self._released.path}", f"--url={url}"]
        self._released.assign(VERSIONS[-1], STAGE)
        with started(serve, self.port, self._place):
            process = subprocess.Popen(watch, stdout=subprocess.PIPE, text=True)
            listening = threading.Thread(target=self._listen, args=(process,))
            listening.start()
            try:
                self._wait_until_served(VERSIONS[-1])
                yield
            finally:
                process.terminate()
                process.wait(60)
                listening.join()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            self._said.put((time.monotonic(), line))

    def assign(self, version: str) -> Switch:
        """Tag, and wait for the watch's word that the service serves it."""
        self._released.assign(version, STAGE)
        tagged = time.monotonic()
        reported = self._wait_until_served(version)
        status = json.loads((self._deployments / STAGE / "status.json").read_text())
        return Switch(version, tagged, reported, status["seconds"])

    def _wait_until_served(self, version: str) -> float:
        while True:
            now, line = self._said.get(timeout=PATIENCE)
            if line.startswith(f"{STAGE}: {version} (") and line.endswith("serves it\n"):
                print(line, end="", flush=True)
                return now


def wrong(answers: list[Answer], switches: list[Switch]) -> int:
    """Answers that are not of the version that was reported before they were asked for, or not that version's."""
    (probabilities,) = read_arrays(SMOKE, "probabilities")
    ends = [following.tagged for following in switches[1:]] + [float("inf")]
    found, place = 0, -1
    for answer in sorted((answer for answer in answers if answer.status == 200), key=lambda answer: answer.sent):
        while place + 1 < len(switches) and answer.sent > switches[place + 1].reported:
            place += 1
        version = answer.body["version"]
        settled = place >= 0 and answer.sent < ends[place]
        right = (int(probabilities[answer.image].argmax()) + VERSIONS.index(version)) % 10
        found += (settled and version != switches[place].version) or answer.body["predictions"][0]["label"] != right
    return found


def report(loaded: list[Switch], load: Load, answers: list[Answer], fetched: list[Switch], options: str) -> None:
    """Both tables."""

    def spread(values: list[float]) -> str:
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "-"

    requests, failed = load.requests + len(answers), load.failed + sum(answer.status != 200 for answer in answers)
    seconds = max(answer.received for answer in answers) - min(answer.sent for answer in answers)
    header = ["switches under load", "requests", "failed", "of these looked at", "answers of a wrong version"]
    figures = [f"{requests:,}", str(failed), f"{len(answers):,}", str(wrong(answers, loaded))]
    body = table(header, [[str(len(loaded)), *figures]])
    rows = []
    for name, switches in (("on disk, under load", loaded), ("to be fetched, no load", fetched)):
        steps = [[switch.seconds.get(step, 0.0) for switch in switches] for step in STEPS]
        rest = [switch.whole - sum(switch.seconds.values()) for switch in switches]
        whole = [switch.whole for switch in switches]
        rows.append([name, str(len(switches)), *map(spread, [whole, *steps, rest])])
    header = ["version", "n", "tag to serving, s", "git", "dvc", "smoke test", "placing", "warming", "until looked for"]
    body += f"\n\n{table(header, rows)}\n\n"
    body += (
        f"Median (range). One image a request: wrk asks on 16 connections, {load.per_second:,.0f} a second, and a "
        f"client that looks at the answers on {CHECKED}, {len(answers) / seconds:,.0f} a second. A version is wrong "
        f"if the watch had said before the request that another one is served, or if the label is not that "
        f"version's. The watch looks every {INTERVAL:g} s, by default every 5; dvc: fetch and verify."
    )
    publish("switching", f"python -m benchmarks.switching {options}", body, "fastapi", "uvicorn", "onnxruntime", "dvc")


if __name__ == "__main__":
    main()
