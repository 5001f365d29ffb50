"""Keeps the prediction log within its limits of age and size, a little at a time, beside the service that writes it."""

import math
import sqlite3
import sys
import threading
import time
from typing import cast

import sqlalchemy as sa

from delivery.log import PredictionLog, identifier
from delivery.schema import LABELS, PREDICTIONS, SECOND, now, reason

# Predictions that are removed by one transaction, for which a new one may have to wait; and seconds until the next.
_PART, _PAUSE = 200, 0.02
# Of a prediction in PostgreSQL with its index, and without the space of removed ones, which it uses again.
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
        self._sqlite = log.engine.dialect.name == "sqlite"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="retention", daemon=True)
        self._failure = ""
        self.bytes = math.nan  # what the log took when it was looked after last

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the part that is under way."""
        self._stop.set()
        self._thread.join()

    def bytes_used(self) -> int:
        """What predictions and labels take on the disk."""
        with self._log.engine.connect() as connection:
            if self._sqlite:
                pages, free, size = (
                    connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                    for name in ("page_count", "freelist_count", "page_size")
                )
                return int((pages - free) * size)
            counts = sa.select(sa.func.count()).select_from(PREDICTIONS)
            return int(connection.execute(counts).scalar_one()) * _ROW_BYTES

    def prune(self) -> int:
        """Remove what is too old or too much; the number of predictions removed."""
        removed, present = 0, now()
        oldest = identifier(present - int(min(self._days * _DAY, present)))
        while part := self._remove_part(_PART, oldest):
            removed += part
        while (surplus := self.bytes_used() - self._max_bytes) > 0:
            # PostgreSQL counts for as long as it takes to remove thousands; SQLite just knows how large it is.
            left = _PART if self._sqlite else -(-surplus // _ROW_BYTES)
            while left > 0 and (part := self._remove_part(min(left, _PART))):
                removed, left = removed + part, left - part
            if left > 0:  # nothing is left to remove, or there is no time
                break
        if self._sqlite:
            self._shrink()
        self.bytes = self.bytes_used()
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
        self._stop.wait(_PAUSE)
        return removed

    def _shrink(self) -> None:
        """Give free pages back to the disk, where a lowered limit has left more of them than new predictions take."""
        while not self._stop.is_set():
            with self._log.writing, self._log.engine.connect() as connection:
                pages, size = (
                    connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "page_size")
                )
                free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
                if not free or pages * size <= self._max_bytes:
                    return
                # It works a page at each step, as if it gave rows; SQLAlchemy would take but the first one.
                sqlite = cast("sqlite3.Connection", connection.connection.driver_connection)
                sqlite.executescript(f"PRAGMA incremental_vacuum({_PART})")
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

    def _work(self) -> None:
        pruned = -math.inf
        while not self._stop.is_set():
            try:
                if self._sqlite:
                    self.checkpoint()
                if time.monotonic() >= pruned + _PRUNE_SECONDS:
                    self.prune()
                    pruned = time.monotonic()
                self._failure = ""
            except Exception as error:  # whatever it is, it is tried again; the service goes on without
                if reason(error) != self._failure:
                    self._failure = reason(error)
                    print(f"error: the prediction log can't be shortened: {self._failure}", file=sys.stderr, flush=True)
            self._stop.wait(_CHECKPOINT_SECONDS)
