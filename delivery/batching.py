"""Requests that wait together are scored by one call and logged by one commit, in a thread beside the event loop."""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from delivery.log import PredictionLog, Scored
from delivery.slot import TOGETHER, Loaded, Slot
from digits.dataset import IMAGE_SIZE


class Answer(NamedTuple):
    """Predictions of one request, already logged, in the order of its images."""

    version: str
    ids: list[str]
    labels: list[int]
    probabilities: list[list[float]]


class Waiting:
    """One request's images on their way to an answer, a byte a pixel."""

    __slots__ = ("count", "future", "loaded", "pixels")

    def __init__(self, pixels: bytes, count: int, future: "asyncio.Future[Answer]") -> None:
        self.pixels, self.count, self.future = pixels, count, future
        self.loaded: Loaded | None = None  # whose answer it is, until that has been sent


class Batcher:
    """Scores and logs what waits. All methods belong to the event loop's thread.

    Args:
        slot: holds the version that answers.
        log: where predictions go before they are answered.
        observe: called with each batch that has been logged, in the scoring thread.
    """

    def __init__(self, slot: Slot, log: PredictionLog, observe: Callable[[Scored], None]) -> None:
        self._slot, self._log, self._observe = slot, log, observe
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Waiting] = deque()
        self._busy = False
        self._batches: queue.SimpleQueue[list[Waiting] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="scoring")
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that no batch has taken yet."""
        return len(self._waiting)

    def submit(self, pixels: bytes, count: int) -> Waiting:
        """Let `count` images wait for the next batch; await the `future` of what is returned.

        The future raises SlotError if no model answers and LogError if the predictions can't be logged.
        """
        waiting = Waiting(pixels, count, self._loop.create_future())
        self._waiting.append(waiting)
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._next_batch)  # after all requests that have arrived by now
        return waiting

    def done(self, waiting: Waiting) -> None:
        """The answer has been sent, or nobody wants it any more."""
        waiting.future.cancel()
        if waiting.loaded is not None:
            self._slot.give_back(waiting.loaded)
            waiting.loaded = None

    async def close(self) -> None:
        """Answer what waits, then stop."""
        while self._busy:
            await asyncio.sleep(0.001)
        self._batches.put(None)
        self._thread.join()

    def _next_batch(self) -> None:
        batch: list[Waiting] = []
        images = 0
        while self._waiting and (not batch or images + self._waiting[0].count <= TOGETHER):
            waiting = self._waiting.popleft()
            if not waiting.future.cancelled():
                batch.append(waiting)
                images += waiting.count
        self._busy = bool(batch)
        if batch:
            self._batches.put(batch)

    def _work(self) -> None:
        """The scoring thread: one batch after the other."""
        while (batch := self._batches.get()) is not None:
            loaded: Loaded | None = None
            answers: list[Answer] | Exception
            try:
                loaded = self._slot.take(len(batch))
                answers = self._score(loaded, batch)
            except Exception as error:  # whatever it is, those who wait are told, and the next batch is tried
                answers = error
            self._loop.call_soon_threadsafe(self._deliver, batch, loaded, answers)

    def _score(self, loaded: Loaded, batch: list[Waiting]) -> list[Answer]:
        pixels = np.frombuffer(b"".join(waiting.pixels for waiting in batch), np.uint8).reshape(
            -1, IMAGE_SIZE, IMAGE_SIZE
        )
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
        self._next_batch()
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
