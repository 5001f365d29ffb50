"""Cuts the prediction log into windows: disjoint, each of one version, none across a gap in traffic."""

import dataclasses
from collections.abc import Iterator
from enum import StrEnum

import numpy as np

from delivery.history import Rows


class End(StrEnum):
    """Why a window ended where it did."""

    FULL = "full"
    GAP = "gap in traffic"
    VERSION = "another version took over"


@dataclasses.dataclass(frozen=True)
class Piece:
    """A window that is over: the predictions of one version, oldest first."""

    version: str
    end: End
    ids: tuple[str, ...]
    times: tuple[int, ...]  # microseconds since 1970, UTC
    images: np.ndarray  # uint8 (n, 28, 28)
    probabilities: np.ndarray  # float32 (n, 10)
    labels: np.ndarray  # int64 (n,), as predicted

    def __len__(self) -> int:
        return len(self.ids)


@dataclasses.dataclass
class _Open:
    rows: list[tuple[Rows, int]] = dataclasses.field(default_factory=list)

    @property
    def first(self) -> int:
        rows, place = self.rows[0]
        return int(rows.times[place])

    @property
    def last(self) -> int:
        rows, place = self.rows[-1]
        return int(rows.times[place])


class Cutter:
    """Windows of `size` predictions, in the order in which they end.

    Each version has its own, so predictions of two versions may alternate while one takes over from the other. What a
    version has begun ends early once the other has filled a window since, or once nothing came for `gap` microseconds.
    """

    def __init__(self, size: int, gap: int) -> None:
        self._size, self._gap = size, gap
        self._open: dict[str, _Open] = {}

    def add(self, rows: Rows) -> Iterator[Piece]:
        """Take the next predictions; they have to come by time."""
        for place, version in enumerate(rows.versions):
            yield from self.until(int(rows.times[place]))
            begun = self._open.setdefault(version, _Open())
            begun.rows.append((rows, place))
            if len(begun.rows) == self._size:
                since = begun.first
                yield self._close(version, End.FULL)
                for other in [name for name, piece in self._open.items() if piece.last < since]:
                    yield self._close(other, End.VERSION)

    def until(self, time: int) -> Iterator[Piece]:
        """Windows that are over because nothing came until `time`."""
        for version in [name for name, piece in self._open.items() if time - piece.last > self._gap]:
            yield self._close(version, End.GAP)

    @property
    def first(self) -> int | None:
        """Time of the oldest prediction in a window that is not over yet."""
        return min((piece.first for piece in self._open.values()), default=None)

    def _close(self, version: str, end: End) -> Piece:
        taken = self._open.pop(version).rows

        def each(name: str) -> np.ndarray:
            return np.stack([getattr(rows, name)[place] for rows, place in taken])

        return Piece(
            version=version,
            end=end,
            ids=tuple(rows.ids[place] for rows, place in taken),
            times=tuple(int(rows.times[place]) for rows, place in taken),
            images=each("pixels"),
            probabilities=each("probabilities"),
            labels=each("labels"),
        )
