"""How long the service took to answer, over time: the prediction log does not know, its Prometheus histogram does.

The histogram counts from the service's start on. What it says is kept every few seconds, in memory and for a day, so
that differences tell of the time in between. A restart begins anew.
"""

import bisect
import dataclasses
import itertools
import math
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import TypeVar

from delivery.metrics import Answered
from delivery.schema import now

_SECONDS, _KEPT = 10, 8640  # between two samples, and of them: a day
QUANTILES = (0.5, 0.9, 0.99)
_Key = TypeVar("_Key", int, float)


@dataclasses.dataclass(frozen=True)
class Served:
    """Answers of one stretch of time."""

    since: int  # microseconds since 1970, UTC
    answers: int
    failed: int  # of them by the service's fault: status 5xx
    refused: int  # by the client's: 4xx
    seconds: tuple[float, ...]  # QUANTILES of the time from header to answer


class Latency:
    """What one route answered, since this began; as a context, asked again and again by a thread.

    Args:
        read: the figures at this moment.
        seconds: between two samples.
        kept: samples, at most.
    """

    def __init__(self, read: Callable[[], Answered], seconds: float = _SECONDS, kept: int = _KEPT) -> None:
        self._read, self._seconds = read, seconds
        self._samples: deque[tuple[int, Answered]] = deque(maxlen=kept)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="latency", daemon=True)

    def __enter__(self) -> "Latency":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.is_set():
            self.sample(now())
            self._ended.wait(self._seconds)

    def sample(self, time: int) -> None:
        """Remember the figures; a clock that was set back begins anew."""
        if self._samples and time <= self._samples[-1][0]:
            self._samples.clear()
        self._samples.append((time, self._read()))

    @property
    def since(self) -> int | None:
        """When the first sample was taken that is still known."""
        return self._samples[0][0] if self._samples else None

    def periods(self, since: int, until: int, length: int) -> list[Served]:
        """By periods that begin at multiples of `length`; those in which nothing was answered are left out.

        What was answered between two samples counts for the period in which the second was taken.
        """
        taken = list(self._samples)
        within: dict[int, Counter[float]] = {}
        statuses: dict[int, Counter[int]] = {}
        for (_, before), (time, after) in itertools.pairwise(taken):
            if since <= time < until:
                start = time // length * length
                within.setdefault(start, Counter()).update(_grown(before.within, after.within))
                statuses.setdefault(start, Counter()).update(_grown(before.statuses, after.statuses))
        return [
            Served(
                since=start,
                answers=buckets[math.inf],
                failed=sum(count for status, count in statuses[start].items() if status >= 500),
                refused=sum(count for status, count in statuses[start].items() if 400 <= status < 500),
                seconds=tuple(quantile(buckets, share) for share in QUANTILES),
            )
            for start, buckets in sorted(within.items())
            if buckets[math.inf]
        ]


def quantile(within: dict[float, int], share: float) -> float:
    """Time in which this share of answers was given, as Prometheus' `histogram_quantile` estimates it.

    Args:
        within: answers that took at most so many seconds; under infinity all of them, at least one.
        share: between 0 and 1.

    Returns:
        by linear interpolation within a bucket; the last finite bound for what took longer than that.
    """
    bounds = sorted(within)
    wanted = share * within[math.inf]
    place = bisect.bisect_left([within[bound] for bound in bounds], wanted)
    if math.isinf(bounds[place]):
        return bounds[place - 1] if place else 0.0
    low, before = (bounds[place - 1], within[bounds[place - 1]]) if place else (0.0, 0)
    return low + (bounds[place] - low) * (wanted - before) / max(1, within[bounds[place]] - before)


def _grown(before: dict[_Key, int], after: dict[_Key, int]) -> dict[_Key, int]:
    return {key: value - before.get(key, 0) for key, value in after.items()}
