"""How far back the dashboard looks, by which periods, and so how finely what is kept for it has to be kept."""

from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple, TypeVar

from delivery.schema import SECOND

Kept = TypeVar("Kept")


class Span(NamedTuple):
    """How far back one looks, and by which periods; seconds."""

    seconds: int
    period: int


# Shortest first; each period is a multiple of the one before.
SPANS = {
    "15m": Span(900, 15),
    "1h": Span(3600, 60),
    "6h": Span(21_600, 360),
    "24h": Span(86_400, 1800),
    "7d": Span(604_800, 10_800),
}


def period(time: int, now: int) -> tuple[int, int] | None:
    """The period of the shortest span that reaches back to a time; None if none does.

    Args:
        time: microseconds since 1970, UTC.
        now: the same clock.

    Returns:
        its begin and its length, microseconds.
    """
    for span in SPANS.values():
        length = span.period * SECOND
        if now - time <= span.seconds * SECOND + length:  # a span begins with a whole period
            return time // length * length, length
    return None


def thinned(
    entries: Iterable[Kept],
    now: int,
    time: Callable[[Kept], int],
    kind: Callable[[Kept], Hashable],
    joined: Callable[[Kept, Kept], Kept],
) -> tuple[Kept, ...]:
    """One entry of each kind and period; without those that are older than any span.

    So there are some 300 of a kind at most, however many come.

    Args:
        entries: oldest first.
        now: microseconds since 1970, UTC.
        time: of an entry.
        kind: of an entry; those of different kinds stay apart.
        joined: makes one entry of two of the same period, the older of which comes first.
    """
    found: dict[Hashable, Kept] = {}
    for entry in entries:
        key = period(time(entry), now)
        if key is not None:
            place = kind(entry), key
            found[place] = joined(found[place], entry) if place in found else entry
    return tuple(sorted(found.values(), key=time))
