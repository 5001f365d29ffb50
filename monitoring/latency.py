"""How long the service takes to answer: the prediction log does not know, its Prometheus histogram does.

The histogram counts from the process's start on. What it has counted is put on record every few seconds, in memory and
in logs/<stage>-latency.json, so that neither a service that was started anew nor a report is without it.
"""

import math
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from delivery.metrics import Answered
from delivery.schema import now
from digits.errors import PipelineError
from monitoring import kept, served
from monitoring.served import Measured, Part

_SECONDS = 10  # between two samples
_Key = TypeVar("_Key", int, float)


class Latency:
    """What one route answers; as a context, asked again and again by a thread.

    Args:
        read: the figures at this moment.
        path: of the file. Of several services that would write it the first one does, and the next when it ends. What
            can't be read or written is told once, and known as long as the process runs.
        seconds: between two samples.
    """

    def __init__(self, read: Callable[[], Answered], path: Path, seconds: float = _SECONDS) -> None:
        self.measured = Measured()
        self._read, self._path, self._seconds = read, path, seconds
        self._before = Answered({}, {})
        self._lock: IO[str] | None = None
        self._writes, self._failure = False, ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="latency", daemon=True)

    def __enter__(self) -> "Latency":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Let another process write the file."""
        if self._lock is not None:
            self._lock.close()
        self._lock, self._writes = None, False

    def _work(self) -> None:
        while True:
            ending = self._ended.is_set()
            self.sample(now())
            if ending:
                return
            self._ended.wait(self._seconds)

    def sample(self, time: int) -> None:
        """Keep what was answered since the last sample. Once a clock was set back, the future is forgotten."""
        before, after = self._before, self._read()
        within, statuses = _grown(before.within, after.within), _grown(before.statuses, after.statuses)
        part = Part(time, within if within.get(math.inf) else {}, statuses)
        known = Measured(parts=tuple(one for one in self.measured.parts if one.time <= time))
        self._before, self.measured = after, known.with_parts([part], time)
        try:
            if self._may_write(time):
                served.write(self._path, self.measured)
            self._failure = ""
        except (OSError, PipelineError) as error:
            if str(error) != self._failure:
                self._failure = str(error)
                print(f"error: latency is not kept: {error}", file=sys.stderr, flush=True)

    def _may_write(self, time: int) -> bool:
        """Whether this process keeps the file; from then on, what was in it is known here, too."""
        if self._lock is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._path.with_suffix(".lock").open("w")
        if not self._writes and kept.try_lock(self._lock):
            self.measured = self.measured.with_parts(served.read(self._path).parts, time)
            self._writes = True
        return self._writes


def _grown(before: dict[_Key, int], after: dict[_Key, int]) -> dict[_Key, int]:
    return {key: value - before.get(key, 0) for key, value in after.items()}
