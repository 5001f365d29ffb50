"""Requests that wait together are scored by one call and logged by one commit, in a thread beside the event loop."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from delivery.log import PredictionLog, Scored
from delivery.slot import Loaded, Slot

# Images. More than this share no call: what waits behind them would wait longer than the call saves.
_TOGETHER = 128


class Answer(NamedTuple):
    """Predictions of one request, already logged: ids, labels and probabilities (10 each) in the order of its images."""

    version: str
    ids: list[str]
    labels: list[int]
    probabilities: list[list[float]]


class Waiting:
    """One request's images on their way to an answer: 784 bytes each."""

    __slots__ = ("count", "future", "loaded", "pixels")

    def __init__(self, pixels: bytes, count: int, future: "asyncio.Future[Answer]") -> None:
        self.pixels, self.count, self.future = pixels, count, future
        self.loaded: Loaded | None = None  # whose answer it is, until that has been sent


class Batcher:
    """Scores and logs what waits.

    Args:
        slot: holds the version that answers.
        log: where predictions go before they are answered.
        observe: called with each batch that has been logged, in the scoring thread.
    """

    def __init__(self, slot: Slot, log: PredictionLog, observe: Callable[[Scored], None]) -> None:
        self._slot, self._log, self._observe = slot, log, observe
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="scoring")
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that no batch has taken yet."""
        return self._queue.qsize()

    def submit(self, pixels: bytes, count: int) -> Waiting:
        """Let `count` images wait for the next batch; await the `future` of what is returned.

        The future raises SlotError if no model answers and LogError if the predictions can't be logged.
        """
        waiting = Waiting(pixels, count, self._loop.create_future())
        self._queue.put(waiting)
        return waiting

    def done(self, waiting: Waiting) -> None:
        """The answer has been sent, or nobody wants it any more. Call in the event loop's thread."""
        waiting.future.cancel()
        if waiting.loaded is not None:
            self._slot.give_back(waiting.loaded)
            waiting.loaded = None

    def close(self) -> None:
        """Answer what waits, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        last = False
        while not last:
            batch, last = self._next_batch()
            if not batch:
                continue
            loaded: Loaded | None = None
            answers: list[Answer] | Exception
            try:
                loaded = self._slot.take(len(batch))
                answers = self._score(loaded, batch)
            except Exception as error:  # whatever it is, those who wait are told, and the next batch is tried
                answers = error
            self._loop.call_soon_threadsafe(self._deliver, batch, loaded, answers)

    def _next_batch(self) -> tuple[list[Waiting], bool]:
        batch: list[Waiting] = []
        images, wait = 0, True
        while images < _TOGETHER:
            try:
                waiting = self._queue.get(block=wait)
            except queue.Empty:
                break
            if waiting is None:
                return batch, True
            wait = False
            if not waiting.future.cancelled():
                batch.append(waiting)
                images += waiting.count
        return batch, False

    def _score(self, loaded: Loaded, batch: list[Waiting]) -> list[Answer]:
        pixels = np.frombuffer(b"".join(waiting.pixels for waiting in batch), np.uint8).reshape(-1, 28, 28)
        probabilities = loaded.model.probabilities(pixels)
        labels = probabilities.argmax(axis=1).tolist()
        scored = Scored(loaded.version, pixels, probabilities, labels)
        ids = self._log.append(scored)
        self._observe(scored)
        numbers = probabilities.tolist()
        answers, start = [], 0
        for waiting in batch:
            rows = slice(start, start := start + waiting.count)
            answers.append(Answer(loaded.version, ids[rows], labels[rows], numbers[rows]))
        return answers

    def _deliver(self, batch: list[Waiting], loaded: Loaded | None, answers: list[Answer] | Exception) -> None:
        for index, waiting in enumerate(batch):
            if waiting.future.cancelled():
                if loaded is not None:
                    self._slot.give_back(loaded)
                continue
            waiting.loaded = loaded
            if isinstance(answers, Exception):
                waiting.future.set_exception(answers)
            else:
                waiting.future.set_result(answers[index])
