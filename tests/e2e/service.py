"""The service as a process of its own, and clients that ask it without a pause."""

import contextlib
import dataclasses
import http.client
import json
import os
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from delivery import client
from tests.e2e.project import wait_for


@dataclasses.dataclass
class Started:
    """A process that has been started, and the file in which all is that it prints."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def url(self) -> str:
        """Address that it prints once it listens."""
        wait_for(lambda: "http://" in self.said or self.process.poll() is not None)
        assert "http://" in self.said, self.said
        return self.said[self.said.index("http://") :].split()[0]

    def ready(self) -> str:
        """Its address, once it answers."""
        url = self.url
        wait_for(lambda: (client.ready(url) or {}).get("ready") or self.process.poll() is not None)
        assert self.process.poll() is None, self.said
        return url

    def end(self, number: int = signal.SIGTERM) -> int:
        """Exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait()


@contextlib.contextmanager
def started(command: list[str], cwd: Path, env: dict[str, str], log: Path) -> Iterator[Started]:
    """A process in a process group of its own; all of it is killed afterwards, if it is still there."""
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=stream, stderr=stream, start_new_session=True)
    try:
        yield Started(process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Clients:
    """Threads that send one image after the other, each over one connection.

    Args:
        url: of the service.
        seed: of the images.
        threads: so many at once.
        pause: seconds between an answer and the next question of one.
    """

    def __init__(self, url: str, seed: int = 0, threads: int = 4, pause: float = 0) -> None:
        self._address = urlsplit(url).netloc
        self._stop, self._pause = threading.Event(), pause
        self._threads = [
            threading.Thread(target=self._ask, args=(random.Random(f"{seed} {n}"),)) for n in range(threads)
        ]
        self.known: str | None = None  # the version that alone may answer what is asked from now on
        self.answered: dict[str, tuple[int, bytes]] = {}  # label and pixels by id
        self.versions: list[str] = []
        self.wrong: list[tuple[str | None, str]] = []
        self.failed: list[str] = []

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, numbers: random.Random) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            while not self._stop.wait(self._pause):
                pixels, known = numbers.randbytes(784), self.known
                image = [list(pixels[row : row + 28]) for row in range(0, 784, 28)]
                connection.request(
                    "POST", "/v1/predict", json.dumps({"image": image}), {"Content-Type": "application/json"}
                )
                with connection.getresponse() as response:
                    status, answer = response.status, json.loads(response.read())
                if status != 200:
                    self.failed.append(f"{status} {answer}")
                    continue
                (prediction,) = answer["predictions"]
                self.answered[prediction["id"]] = prediction["label"], pixels
                self.versions.append(answer["version"])
                if known not in (None, answer["version"]):
                    self.wrong.append((known, answer["version"]))
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.failed.append(repr(error))
        finally:
            connection.close()
