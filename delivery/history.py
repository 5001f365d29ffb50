"""Reads the prediction log, in order and in parts, while the service writes it."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from delivery.log import as_bytes, as_text, identifier
from delivery.schema import LABELS, PIXELS, PREDICTIONS, SHARES, LogError
from digits.dataset import CLASSES, IMAGE_SIZE

UNKNOWN = -1  # no true label yet


@dataclasses.dataclass(frozen=True)
class Rows:
    """Predictions, one an entry of each field."""

    ids: list[str]
    times: np.ndarray  # int64, microseconds since 1970, UTC
    versions: list[str]
    stages: list[str]
    pixels: np.ndarray  # uint8 (N, 28, 28), as they were scored
    probabilities: np.ndarray  # float32 (N, 10)
    labels: np.ndarray  # int64, as predicted
    truths: np.ndarray  # int64, the true labels; -1 where none has come
    truth_times: np.ndarray  # int64, when they came; -1
    sources: list[str]  # who sent them; empty
    clients: list[str]  # from which address, by a name that does not tell it; empty

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: Sequence[int]) -> "Rows":
        """Those at `places`, in that order."""
        fields: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            chosen = value[list(places)] if isinstance(value, np.ndarray) else [value[place] for place in places]
            fields[field.name] = chosen
        return Rows(**fields)


@dataclasses.dataclass(frozen=True)
class Window:
    """Which predictions; None is no limit.

    Processes that write at the same time, and clocks that are set back, can add rows a moment before the newest: who
    reads on from where he stopped does well to leave out the last few seconds.
    """

    since: int | None = None  # microseconds since 1970, UTC, included
    until: int | None = None  # not included
    version: str | None = None
    stage: str | None = None


@dataclasses.dataclass(frozen=True)
class Count:
    """Predictions of one version in one period that have the same answer and the same true label."""

    since: int  # begin of the period; microseconds since 1970, UTC
    version: str
    label: int  # as predicted
    truth: int  # -1 where none has come
    predictions: int
    first: int  # time of the first of them, and of the last
    last: int


EVERYTHING = Window()
_MADE = PREDICTIONS.outerjoin(LABELS, LABELS.c.prediction == PREDICTIONS.c.id)
_LABELLED = LABELS.join(PREDICTIONS, LABELS.c.prediction == PREDICTIONS.c.id)


class History:
    """A log that is read.

    Args:
        engine: of an open log, or `schema.connect(url)`.

    Raises:
        LogError: by all that read, of a row that no service has written.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def predictions(self, window: Window = EVERYTHING, part: int = 1000) -> Iterator[Rows]:
        """All predictions of a window by time, so many at once."""
        after: list[sa.ColumnElement[bool]] = []
        while rows := self._read(_select(_MADE).where(*_limits(window), *after).order_by(PREDICTIONS.c.id).limit(part)):
            yield _rows(rows)
            after = [PREDICTIONS.c.id > rows[-1].id]

    def latest(self, count: int, window: Window = EVERYTHING) -> Rows:
        """The newest predictions of a window, at most so many, by time."""
        newest = _select(_MADE).where(*_limits(window)).order_by(PREDICTIONS.c.id.desc()).limit(count)
        return _rows(self._read(newest)[::-1])

    def labelled(self, window: Window = EVERYTHING, part: int = 1000) -> Iterator[Rows]:
        """Predictions whose true label came in a window, by the time when it came, so many at once."""
        time, key, limits = LABELS.c.time, LABELS.c.prediction, _limits_of_labels(window)
        after: list[sa.ColumnElement[bool]] = []
        while rows := self._read(_select(_LABELLED).where(*limits, *after).order_by(time, key).limit(part)):
            yield _rows(rows)
            last = rows[-1]
            after = [(time > last.truth_time) | (time == last.truth_time) & (key > last.id)]

    def count(self, window: Window = EVERYTHING) -> int:
        """How many predictions a window has."""
        statement = sa.select(sa.func.count()).select_from(PREDICTIONS).where(*_limits(window))
        with self._engine.connect() as connection:
            return connection.execute(statement).scalar_one()

    def count_labelled(self, window: Window = EVERYTHING) -> int:
        """How many predictions have a true label that came in a window."""
        statement = sa.select(sa.func.count()).select_from(_LABELLED).where(*_limits_of_labels(window))
        with self._engine.connect() as connection:
            return connection.execute(statement).scalar_one()

    def counts(self, window: Window, length: int) -> list[Count]:
        """How often each answer was given, by periods of so many microseconds, which begin at multiples of it.

        The database counts: a million predictions are a matter of a second or so, and of no memory.
        """
        table = PREDICTIONS.c
        label, truth = table.label, sa.func.coalesce(LABELS.c.label, UNKNOWN).label("truth")
        period = (table.time // length).label("period")  # of whole numbers, so it is one
        rows = sa.select(period, table.version, label, truth, table.time).select_from(_MADE).where(*_limits(window))
        each = rows.subquery().c
        keys = each.period, each.version, each.label, each.truth
        found = sa.select(*keys, sa.func.count(), sa.func.min(each.time), sa.func.max(each.time)).group_by(*keys)
        counts = [Count(row[0] * length, *list(row)[1:]) for row in self._read(found.order_by(*keys))]
        if not all(_possible(count.label, None if count.truth == UNKNOWN else count.truth) for count in counts):
            odd = (~table.label.between(0, CLASSES - 1)) | (~LABELS.c.label.between(0, CLASSES - 1))
            _rows(self._read(_select(_MADE).where(*_limits(window), odd).limit(1)))  # raises, and names the row
        return counts

    def time_of_newest(self, place: int, window: Window = EVERYTHING) -> int | None:
        """When the so-manieth newest prediction of a window was made, from 1; None if there are fewer."""
        newest = sa.select(PREDICTIONS.c.time).where(*_limits(window)).order_by(PREDICTIONS.c.id.desc())
        with self._engine.connect() as connection:
            return connection.scalar(newest.limit(1).offset(place - 1))

    def named(self, ids: Sequence[str]) -> Rows:
        """The predictions with these ids, by time; without those that are no longer there."""
        keys = [as_bytes(key) for key in ids]
        return _rows(self._read(_select(_MADE).where(PREDICTIONS.c.id.in_(keys)).order_by(PREDICTIONS.c.id)))

    def _read(self, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        # One connection a part: a long read would keep SQLite's write-ahead log from being begun anew.
        with self._engine.connect() as connection:
            return connection.execute(statement).all()


def _limits(window: Window) -> list[sa.ColumnElement[bool]]:
    table = PREDICTIONS.c
    limits = [table.id >= identifier(window.since)] if window.since is not None else []
    limits += [table.id < identifier(window.until)] if window.until is not None else []
    limits += [table.version == window.version] if window.version is not None else []
    return limits + ([table.stage == window.stage] if window.stage is not None else [])


def _limits_of_labels(window: Window) -> list[sa.ColumnElement[bool]]:
    limits = [LABELS.c.time >= window.since] if window.since is not None else []
    limits += [LABELS.c.time < window.until] if window.until is not None else []
    return limits + _limits(dataclasses.replace(window, since=None, until=None))


def _possible(label: int, truth: int | None) -> bool:
    return 0 <= label < CLASSES and (truth is None or 0 <= truth < CLASSES)


def _select(joined: sa.Join) -> sa.Select[Any]:
    labels = LABELS.c.label.label("truth"), LABELS.c.time.label("truth_time"), LABELS.c.source, LABELS.c.client
    return sa.select(PREDICTIONS, *labels).select_from(joined)


def _rows(rows: Sequence[sa.Row[Any]]) -> Rows:
    for row in rows:
        if not _possible(row.label, row.truth):
            raise LogError(
                f"prediction {as_text(row.id)} has label {row.label} and true label {row.truth}, not of 0 to "
                f"{CLASSES - 1}: another program has changed the log; remove that row"
            )
        # One that is shorter would shift all that come after it.
        if (len(row.pixels), len(row.probabilities)) != (PIXELS, SHARES):
            raise LogError(
                f"prediction {as_text(row.id)} has {len(row.pixels)} bytes of pixels and {len(row.probabilities)} of "
                f"probabilities, not {PIXELS} and {SHARES}: another program has changed the log; remove that row"
            )

    def numbers(name: str) -> np.ndarray:
        values = (getattr(row, name) for row in rows)
        return np.array([UNKNOWN if value is None else value for value in values], np.int64)

    return Rows(
        ids=[as_text(row.id) for row in rows],
        times=numbers("time"),
        versions=[row.version for row in rows],
        stages=[row.stage for row in rows],
        pixels=np.frombuffer(b"".join(row.pixels for row in rows), np.uint8).reshape(-1, IMAGE_SIZE, IMAGE_SIZE),
        probabilities=np.frombuffer(b"".join(row.probabilities for row in rows), "<f4").reshape(-1, CLASSES),
        labels=numbers("label"),
        truths=numbers("truth"),
        truth_times=numbers("truth_time"),
        sources=[row.source or "" for row in rows],
        clients=[row.client or "" for row in rows],
    )
