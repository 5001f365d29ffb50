"""The databases that a prediction log can lie in, and what may happen to them."""

import sqlite3
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from delivery.log import PredictionLog, Scored
from tests.delivery.postgresql import Server


class Sqlite:
    """A file."""

    def __init__(self, path: Path) -> None:
        self.path, self.url = path, f"sqlite:///{path}"

    def execute(self, statement: str) -> list[tuple]:
        """What a statement gives, asked beside the log."""
        connection = sqlite3.connect(self.path)
        try:
            with connection:
                return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def fill_up(self, log: PredictionLog) -> None:
        """Let there be no room for another page."""

        def limit(connection, *_: object) -> None:
            connection.execute(f"PRAGMA max_page_count = {self._pages}")

        with log.engine.connect() as connection:
            self._pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        sa.event.listen(log.engine, "checkout", limit)
        log._disconnect()

    def make_room(self, _log: PredictionLog) -> None:
        self._pages = 1_000_000


class Postgresql:
    """A database on a server."""

    def __init__(self, server: Server) -> None:
        self.server, self.name = server, server.new_database()
        self.url = server.url(self.name)

    def execute(self, statement: str) -> list[tuple]:
        """What a statement gives, asked beside the log."""
        with self.server.connect(self.name) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def disconnect(self) -> None:
        """End all sessions, as a restart of the server does."""
        with self.server.connect() as connection:
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'")

    def fill_up(self, _log: PredictionLog) -> None:
        """Refuse whatever is new, as a server whose disk is full."""
        with self.server.connect() as connection:
            connection.execute(f"ALTER DATABASE {self.name} SET default_transaction_read_only = on")
        self.disconnect()

    def make_room(self, _log: PredictionLog) -> None:
        with self.server.connect() as connection:
            connection.execute(f"ALTER DATABASE {self.name} RESET default_transaction_read_only")
        self.disconnect()


def scored(count: int = 1, version: str = "v0.1.0", seed: int = 0) -> Scored:
    """Predictions that differ in every pixel and probability."""
    numbers = np.random.default_rng(seed)
    probabilities = numbers.dirichlet(np.ones(10), count).astype(np.float32)
    pixels = numbers.integers(0, 256, (count, 28, 28), np.uint8)
    return Scored(version, pixels, probabilities, probabilities.argmax(1).tolist())
