"""Keeps the prediction log within its limits of age and size, a little at a time, beside the service that writes it."""

import math
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from delivery.log import PredictionLog, identifier
from delivery.schema import LABELS, PREDICTIONS, SECOND, now, reason

# Predictions that are removed by one transaction, for which a new one may have to wait; and seconds until the next.
# The log becomes shorter as long as fewer come in meanwhile.
_PART, _PAUSE = 1000, 0.02
_PAGES = 200  # the same for pages of the file that are given back to the disk
# Of a prediction in PostgreSQL with its index, about; without labels and what removed ones leave, which it uses again.
_ROW_BYTES = 1000
_DAY = 86_400 * SECOND
# SQLite's write-ahead log is begun anew once it is longer than this; its pages are of 4,096 bytes.
_WAL_BYTES, _PAGE_BYTES = 16_000_000, 4096
_CHECKPOINT_SECONDS, _PRUNE_SECONDS = 1.0, 60.0


class Retention:
    """Removes the oldest predictions with their labels.

    Args:
        log: the open log.
        days: age after which a prediction goes.
        max_bytes: size beyond which the oldest go, whatever their age.
    """

    def __init__(self, log: PredictionLog, days: float, max_bytes: int) -> None:
        self._log, self._days, self._max_bytes = log, days, max_bytes
        self._part = min(_PART, max_bytes // (4 * _ROW_BYTES))  # no more than a quarter of what may stay
        self._sqlite = log.engine.dialect.name == "sqlite"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="retention", daemon=True)
        self._failure = ""
        self._checkpointed = -math.inf
        self.bytes = math.nan  # what the log took on the disk when it was looked after last

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the part that is under way."""
        self._stop.set()
        self._thread.join()

    def bytes_used(self) -> int:
        """What predictions and labels take, as far as removing some lowers it; about, where the database can't tell."""
        with self._log.engine.connect() as connection:
            if self._sqlite:
                pages, free, size = _pages(connection)
                return (pages - free) * size
            # What PostgreSQL takes on the disk stays when rows go, and to count them takes long: only if need be.
            taken = _taken(connection)
            if taken <= self._max_bytes:
                return taken
            counts = sa.select(sa.func.count()).select_from(PREDICTIONS)
            return min(taken, int(connection.execute(counts).scalar_one()) * _ROW_BYTES)

    def bytes_on_disk(self) -> int:
        """What the log takes with SQLite's write-ahead log or the space that PostgreSQL will use again."""
        if self._sqlite:
            wal = Path(f"{self._log.engine.url.database}-wal")
            return self.bytes_used() + (wal.stat().st_size if wal.exists() else 0)
        with self._log.engine.connect() as connection:
            return _taken(connection)

    def prune(self) -> int:
        """Remove what is too old or too much; the number of predictions removed."""
        removed, present = 0, now()
        oldest = identifier(present - int(min(self._days * _DAY, present)))
        while part := self._remove_part(self._part, oldest):
            removed += part
        removed += self._remove_surplus()
        for _ in range(self._steps() if self._sqlite else 0):
            if not self._shrink():
                break
            removed += self._remove_surplus()  # all of them may take minutes
        return removed

    def _remove_surplus(self) -> int:
        removed = 0
        while (surplus := self.bytes_used() - self._max_bytes) > 0:
            # PostgreSQL counts for as long as it takes to remove thousands; SQLite just knows how large it is.
            left = self._part if self._sqlite else -(-surplus // _ROW_BYTES)
            while left > 0 and (part := self._remove_part(min(left, self._part))):
                removed, left = removed + part, left - part
            if left > 0:  # nothing is left to remove, or there is no time
                break
        return removed

    def _remove_part(self, most: int, before: bytes | None = None) -> int:
        ids = sa.select(PREDICTIONS.c.id).order_by(PREDICTIONS.c.id).limit(most)
        if before is not None:
            ids = ids.where(PREDICTIONS.c.id < before)
        with self._log.engine.connect() as connection:
            last = connection.execute(ids).scalars().all()
        if not last or self._stop.is_set():
            return 0
        with self._log.writing, self._log.engine.begin() as connection:
            connection.execute(sa.delete(LABELS).where(LABELS.c.prediction <= last[-1]))
            removed = connection.execute(sa.delete(PREDICTIONS).where(PREDICTIONS.c.id <= last[-1])).rowcount
        self._rest()
        return removed

    def _steps(self) -> int:
        """How often to `_shrink`: counted before, since new predictions can keep the file too large for ever."""
        with self._log.engine.connect() as connection:
            pages, _, size = _pages(connection)
        return max(0, math.ceil((pages * size - self._max_bytes) / (size * _PAGES)))

    def _shrink(self) -> bool:
        """Give a few free pages back to the disk, where a lowered limit has left more of them than new ones take.

        Returns:
            Whether there were any.
        """
        if self._stop.is_set():
            return False
        with self._log.writing, self._log.engine.connect() as connection:
            pages, free, size = _pages(connection)
            if not free or pages * size <= self._max_bytes:
                return False
            # It works a page at each step, as if it gave rows; SQLAlchemy would take but the first one.
            sqlite = cast("sqlite3.Connection", connection.connection.driver_connection)
            sqlite.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
        self._rest()
        return True

    def _rest(self) -> None:
        """Let others write, and see that what they write does not pile up: this may go on for long."""
        if self._sqlite and time.monotonic() >= self._checkpointed + _CHECKPOINT_SECONDS:
            self.checkpoint()
        self._stop.wait(_PAUSE)

    def checkpoint(self) -> None:
        """Move SQLite's write-ahead log into its file, while others go on writing.

        They only wait for the end of it, and only where the write-ahead log has become long: begun anew it can only be
        when all of it has been moved.
        """
        with self._log.engine.connect() as connection:
            # Not by the file's size, which stays what it was when the log has been begun anew.
            _, pages, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").one()
            if pages * _PAGE_BYTES > _WAL_BYTES:
                with self._log.writing:
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").all()
        self._checkpointed = time.monotonic()

    def _work(self) -> None:
        pruned = -math.inf
        while not self._stop.is_set():
            try:
                if self._sqlite:
                    self.checkpoint()
                    self._remove_surplus()
                if due := time.monotonic() >= pruned + _PRUNE_SECONDS:
                    self.prune()
                    pruned = time.monotonic()
                if due or self._sqlite:
                    self.bytes = self.bytes_on_disk()
                self._failure = ""
            except Exception as error:  # whatever it is, it is tried again; the service goes on without
                if reason(error) != self._failure:
                    self._failure = reason(error)
                    print(f"error: the prediction log can't be shortened: {self._failure}", file=sys.stderr, flush=True)
            self._stop.wait(_CHECKPOINT_SECONDS)


def _pages(connection: Connection) -> tuple[int, int, int]:
    """SQLite's file: its pages, how many of them are free, and bytes of each."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in names)
    return pages, free, size


def _taken(connection: Connection) -> int:
    """Bytes of PostgreSQL's files of both tables."""
    sizes = (sa.func.pg_total_relation_size(table.name) for table in (PREDICTIONS, LABELS))
    return int(sum(connection.execute(sa.select(*sizes)).one()))
