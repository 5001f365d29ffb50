"""The prediction log: every prediction is written before it is answered, and later its true label.

SQLite out of the box, PostgreSQL by one URL; `schema` has the tables, `history` reads them, `retention` shortens them.
"""

import dataclasses
import hashlib
import hmac
import ipaddress
import os
import secrets
import threading
from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from delivery.schema import FACTS, LABELS, PIXELS, PREDICTIONS, SHARES, LogError, connect, now, reason


class Feedback(StrEnum):
    """What became of a label that was sent for a prediction."""

    STORED = "stored"  # the first one
    SAME = "same"  # as the one that was there
    CORRECTED = "corrected"  # another was there, and the sender knew
    CONFLICT = "conflict"  # another is there, and stays
    UNKNOWN = "unknown"  # no such prediction, or no longer


@dataclasses.dataclass(frozen=True)
class Scored:
    """Images that one version of the model has scored.

    Args:
        version: of the model.
        pixels: uint8 (N, 28, 28).
        probabilities: float32 (N, 10).
        labels: the most probable ones, N.
    """

    version: str
    pixels: np.ndarray
    probabilities: np.ndarray
    labels: Sequence[int]


class PredictionLog:
    """One open log. All methods may be called from any thread.

    Args:
        url: where it is, see `schema.connect`.
        stage: recorded with each prediction.
        power_safe: see `schema.connect`.

    Raises:
        LogError: it can't be opened.
    """

    def __init__(self, url: str, stage: str, power_safe: bool = False) -> None:
        self.engine = connect(url, power_safe)
        self.stage = stage
        # SQLite has one writer at a time; who waits for this lock does not poll, as who waits for SQLite's does.
        self.writing = threading.Lock()
        self._connection: Connection | None = None
        insert = str(sa.insert(PREDICTIONS).compile(dialect=self.engine.dialect))
        self._insert, _, self._row = insert.partition(" VALUES ")
        try:
            self._secret = self._client_secret()
        except sa.exc.SQLAlchemyError as error:
            self.engine.dispose()
            raise _unwritten(error) from None

    def append(self, scored: Scored) -> list[str]:
        """Write predictions durably, all or none, and return their ids.

        Raises:
            LogError: they could not be written.
        """
        count, time = len(scored.labels), now()
        random = os.urandom(8 * count)
        pixels, probabilities = scored.pixels.tobytes(), scored.probabilities.astype("<f4").tobytes()
        # A microsecond apart, so that they keep their order.
        ids = [identifier(time + row, random[8 * row : 8 * row + 8]) for row in range(count)]
        values: list[object] = []
        for row in range(count):
            values += (
                ids[row],
                time + row,
                scored.version,
                self.stage,
                pixels[PIXELS * row : PIXELS * (row + 1)],
                probabilities[SHARES * row : SHARES * (row + 1)],
                scored.labels[row],
            )
        # One statement is one transaction, and one wait for Python's lock instead of one a row.
        statement = f"{self._insert} VALUES {', '.join([self._row] * count)}"
        with self.writing:
            try:
                self._write(statement, tuple(values))
            except sa.exc.SQLAlchemyError as error:
                if not getattr(error, "connection_invalidated", False):
                    raise _unwritten(error) from None
                self._rewrite(statement, tuple(values))
        return [as_text(identifier) for identifier in ids]

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            if self._connection is None:
                self._connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._connection.exec_driver_sql(statement, values)
        except BaseException:
            self._disconnect()
            raise

    def _rewrite(self, statement: str, values: tuple[object, ...]) -> None:
        """Once more after the connection was lost, perhaps between the commit and the word that it was done."""
        try:
            self._write(f"{statement} ON CONFLICT DO NOTHING", values)
        except sa.exc.SQLAlchemyError as error:
            raise _unwritten(error) from None

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def feedback(
        self, identifier: str, label: int, source: str, address: str | None, correct: bool = False
    ) -> tuple[Feedback, int | None]:
        """Record the true label of a prediction. The first label stays unless `correct` says to replace it.

        What is corrected keeps the time at which the first label came, so that who reads labels by time has one once.

        Returns:
            What became of it, and the label that is on record now.

        Raises:
            LogError: the log can't be read or written.
        """
        key = as_bytes(identifier)
        values = {"time": now(), "label": label, "source": source, "client": self.client(address)}
        insert = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert
        known = sa.select(sa.literal(key, sa.LargeBinary), *(sa.literal(value) for value in values.values())).where(
            sa.exists().where(PREDICTIONS.c.id == key)
        )
        try:
            with self.writing, self.engine.begin() as connection:
                # One statement, so that of two labels at the same time one is the first.
                first = insert(LABELS).from_select(["prediction", *values], known).on_conflict_do_nothing()
                if connection.execute(first, execution_options={"preserve_rowcount": True}).rowcount == 1:
                    return Feedback.STORED, label
                found = connection.scalar(sa.select(LABELS.c.label).where(LABELS.c.prediction == key))
                if found is None:
                    return Feedback.UNKNOWN, None
                if found == label:
                    return Feedback.SAME, label
                if not correct:
                    return Feedback.CONFLICT, found
                del values["time"]
                connection.execute(sa.update(LABELS).where(LABELS.c.prediction == key).values(values))
                return Feedback.CORRECTED, label
        except sa.exc.SQLAlchemyError as error:
            raise _unwritten(error) from None

    def client(self, address: str | None) -> str:
        """Which client this is, without telling its address: the same 16 digits for the same address in this log.

        Of IPv6 the first 64 bits count: the others are a machine's own choice, as often anew as it likes.
        """
        return hmac.new(self._secret, _network(address or "").encode(), hashlib.sha256).hexdigest()[:16]

    def _client_secret(self) -> bytes:
        insert = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert
        with self.engine.begin() as connection:
            fresh = insert(FACTS).values(name="client secret", value=secrets.token_hex(32)).on_conflict_do_nothing()
            connection.execute(fresh)
            secret = sa.select(FACTS.c.value).where(FACTS.c.name == "client secret")
            return bytes.fromhex(connection.execute(secret).scalar_one())

    def close(self) -> None:
        """Let go of the database; SQLite moves its write-ahead log into the file."""
        with self.writing:
            self._disconnect()
            self.engine.dispose()


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a test client, say
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((int(parsed), 64), strict=False))


def _unwritten(error: Exception) -> LogError:
    return LogError(f"the prediction log can't be written: {reason(error)}")


def identifier(time: int, random: bytes = bytes(8)) -> bytes:
    """UUID version 7 of a time in microseconds: milliseconds, their fraction, and 62 random bits that nobody guesses.

    Without `random`, the lowest one of that time, to compare others with.
    """
    milliseconds, microseconds = divmod(time, 1000)
    fraction = 0x7000 | microseconds * 4096 // 1000
    return b"%b%b%c%b" % (
        milliseconds.to_bytes(6, "big"),
        fraction.to_bytes(2, "big"),
        0x80 | random[0] & 0x3F,
        random[1:],
    )


def as_text(identifier: bytes) -> str:
    """The id of a prediction as people see it."""
    digits = identifier.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def as_bytes(identifier: str) -> bytes:
    """The id of a prediction as the log keeps it."""
    return bytes.fromhex(identifier.replace("-", ""))
