"""How long answers took, over time, as far back as the dashboard looks: what was counted, and what that tells."""

import bisect
import dataclasses
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pydantic

from digits.errors import PipelineError
from digits.storage import write_text
from monitoring import kept
from monitoring.spans import thinned

QUANTILES = (0.5, 0.9, 0.99)


class MeasuredError(PipelineError):
    """The file that should hold what was measured does not."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Answers that were given since the part before."""

    time: int  # of its end; microseconds since 1970, UTC
    within: dict[float, int]  # that took at most so many seconds; under infinity all. Empty if there were none
    statuses: dict[int, int]  # by HTTP status


@dataclasses.dataclass(frozen=True)
class Served:
    """Answers of one stretch of time."""

    since: int  # microseconds since 1970, UTC
    answers: int
    failed: int  # of them by the service's fault: status 5xx
    refused: int  # by the client's: 4xx
    seconds: tuple[float, ...]  # QUANTILES of the time from header to answer


@dataclasses.dataclass(frozen=True)
class Measured:
    """All that is known of one route's answers, the longer ago the coarser."""

    form: Literal[1] = 1  # raised when a file with other fields would be misunderstood
    parts: tuple[Part, ...] = ()  # oldest first

    def with_parts(self, parts: Iterable[Part], now: int) -> "Measured":
        """With more of them, which may lie between those that are there; without what is older than any span."""
        every = sorted((*self.parts, *parts), key=_time)
        return Measured(parts=thinned(every, now, _time, lambda _: "", _joined))

    @property
    def since(self) -> int | None:
        """When the first part ended that is known; None without any."""
        return self.parts[0].time if self.parts else None

    def periods(self, since: int, until: int, length: int) -> list[Served]:
        """By periods that begin at multiples of `length`; those in which nothing was answered are left out.

        What was answered in a part counts for the period in which it ended.
        """
        found: dict[int, Part] = {}
        for part in self.parts:
            if since <= part.time < until:
                start = part.time // length * length
                found[start] = _joined(found[start], part) if start in found else part
        return [
            Served(
                since=start,
                answers=part.within[math.inf],
                failed=sum(count for status, count in part.statuses.items() if status >= 500),
                refused=sum(count for status, count in part.statuses.items() if 400 <= status < 500),
                seconds=tuple(quantile(part.within, share) for share in QUANTILES),
            )
            for start, part in found.items()
            if part.within
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


_MEASURED = pydantic.TypeAdapter(Measured)


def path(stage: str) -> Path:
    """Where it is kept what a stage's service measured."""
    return Path("logs") / f"{stage}-latency.json"


def write(path: Path, measured: Measured) -> None:
    """Replace the file."""
    write_text(path, _MEASURED.dump_json(measured).decode())


def read(path: Path) -> Measured:
    """What `write` wrote, or nothing where there is no file.

    Raises:
        MeasuredError: there is something else.
    """
    return kept.read(
        path, _MEASURED, Measured(), lambda found: MeasuredError(f"{path}: not the service's ({found}); remove it")
    )


def _time(part: Part) -> int:
    return part.time


def _joined(older: Part, newer: Part) -> Part:
    within, statuses = Counter(older.within), Counter(older.statuses)
    within.update(newer.within)
    statuses.update(newer.statuses)
    return Part(newer.time, dict(within), dict(statuses))
