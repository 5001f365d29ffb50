"""Sends traffic to a running service, so many images a second, and later the labels of some of them."""

import dataclasses
import http.client
import json
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from delivery.client import ServiceError
from monitoring.simulated import Picture

SOURCE = "simulate"  # of labels, so that whoever learns from them can tell
NOBODY = "00000000-0000-7000-8000-000000000000"  # a prediction that never was
CONNECTIONS = 16  # requests that are under way at most; where the service is slower than the rate, they fall behind
_SECONDS = 30.0  # to wait for an answer


@dataclasses.dataclass(frozen=True)
class Rhythm:
    """How much is sent, and when."""

    rate: float  # images a second, whether or not those before have been answered
    count: int | None = None  # images; None: without end
    labels: float = 0.0  # share of the answered ones whose label comes
    delay: float = 0.0  # seconds, from the answer to the label
    seed: int = 0


@dataclasses.dataclass
class Tally:
    """What has been sent and answered so far."""

    sent: int = 0
    refused: int = 0  # answered by 503
    reason: str = ""  # of the last one
    answered: Counter[bool] = dataclasses.field(default_factory=Counter)  # before the change, and after it began
    right: Counter[bool] = dataclasses.field(default_factory=Counter)
    labels: int = 0  # on record


class Connection:
    """One connection to a service, which may end at any time.

    Args:
        url: of the service, without a path.
        token: MNIST_ADMIN_TOKEN, if the service has been given one.
    """

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._http = kind(parts.hostname or "", parts.port, timeout=_SECONDS)
        self._url, self._base = url, parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def ask(self, path: str, content: object) -> tuple[int, Any, float]:
        """Status, JSON, and seconds after which to come again, of an answer.

        Raises:
            ServiceError: there is none.
        """
        body = json.dumps(content).encode()
        idle = self._http.sock is not None
        try:
            try:
                return self._answer(path, body)
            except (ConnectionError, http.client.BadStatusLine):
                if not idle:  # else the service may just have closed what was not used for some seconds
                    raise
                self._http.close()
                return self._answer(path, body)
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._http.close()
            raise ServiceError(f"{self._url}{path}: no answer ({error or type(error).__name__})") from None

    def _answer(self, path: str, body: bytes) -> tuple[int, Any, float]:
        self._http.request("POST", f"{self._base}{path}", body, self._headers)
        with self._http.getresponse() as response:
            later = response.headers.get("Retry-After", "")
            return response.status, json.loads(response.read()), float(later) if later.isdecimal() else 1.0

    def close(self) -> None:
        """Let go."""
        self._http.close()


class Sender:
    """Keeps the rate of traffic. `tally` says how far it is, `error` what ended it.

    Args:
        url: of the service, without a path.
        token: MNIST_ADMIN_TOKEN, if the service has been given one.
        traffic: what is sent.
        rhythm: when.
    """

    def __init__(self, url: str, token: str | None, traffic: Iterator[Picture], rhythm: Rhythm) -> None:
        self._url, self._token, self._traffic, self._rhythm = url, token, traffic, rhythm
        self._chosen = random.Random(rhythm.seed)  # noqa: S311, of what is labelled
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._due, self._left = time.monotonic(), rhythm.count
        # When each is due, with the prediction's id and its label.
        self._labels: queue.SimpleQueue[tuple[float, str, int] | None] = queue.SimpleQueue()
        self._senders = [self._thread(self._predict) for _ in range(CONNECTIONS)]
        self._labeller = self._thread(self._label)
        self.tally = Tally()
        self.error: Exception | None = None

    def start(self) -> None:
        """Begin."""
        self._due = time.monotonic()
        for thread in (*self._senders, self._labeller):
            thread.start()

    def join(self, seconds: float) -> bool:
        """Wait so long, or until all has been sent, the labels as well; whether that is so."""
        until = time.monotonic() + seconds
        for thread in self._senders:
            thread.join(max(0, until - time.monotonic()))
        if any(thread.is_alive() for thread in self._senders):
            return False
        self._labels.put(None)
        self._labeller.join(max(0, until - time.monotonic()))
        return not self._labeller.is_alive()

    def stop(self) -> None:
        """Send nothing more, and wait for what is under way."""
        self._stop.set()
        self._labels.put(None)
        for thread in (*self._senders, self._labeller):
            if thread.is_alive():
                thread.join()

    @property
    def behind(self) -> float:
        """Seconds by which the service is too slow for the rate."""
        return max(0.0, time.monotonic() - self._due) if self._left != 0 else 0.0

    def _thread(self, work: Callable[[Connection], None]) -> threading.Thread:
        return threading.Thread(target=self._run, args=(work,), daemon=True)

    def _run(self, work: Callable[[Connection], None]) -> None:
        connection = Connection(self._url, self._token)
        try:
            work(connection)
        except Exception as error:
            self.error = self.error or error
            self._stop.set()
            self._labels.put(None)
        finally:
            connection.close()

    def _next(self) -> tuple[Picture, bool, float] | None:
        """What is sent next, whether its label follows, and when; in this order, whichever thread asks."""
        with self._lock:
            if self._left == 0 or self._stop.is_set():
                return None
            self._left = None if self._left is None else self._left - 1
            due, self._due = self._due, self._due + 1 / self._rhythm.rate
            return next(self._traffic), self._chosen.random() < self._rhythm.labels, due

    def _predict(self, connection: Connection) -> None:
        while item := self._next():
            picture, labelled, due = item
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            with self._lock:
                self.tally.sent += 1
            status, answer, later = connection.ask("/v1/predict", {"image": picture.image.tolist()})
            if status == 503:
                with self._lock:
                    self.tally.refused, self.tally.reason = self.tally.refused + 1, _said(answer)
                    self._due = max(self._due, time.monotonic() + later)
                continue
            if status != 200:
                raise ServiceError(f"{self._url}/v1/predict: answers {status} {_said(answer)}")
            (prediction,) = answer["predictions"]
            with self._lock:
                self.tally.answered[picture.late] += 1
                self.tally.right[picture.late] += prediction["label"] == picture.label
            if labelled:
                self._labels.put((time.monotonic() + self._rhythm.delay, prediction["id"], picture.label))

    def _label(self, connection: Connection) -> None:
        while item := self._labels.get():
            due, identifier, label = item
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                content = {"id": identifier, "label": label, "source": SOURCE}
                status, answer, later = connection.ask("/v1/feedback", content)
                if status == 200:
                    self.tally.labels += 1
                    break
                if status != 503:
                    raise ServiceError(f"{self._url}/v1/feedback: answers {status} {_said(answer)}")
                due = time.monotonic() + later


def _said(answer: Any) -> str:
    return str(answer.get("detail", answer) if isinstance(answer, dict) else answer)[:300]
