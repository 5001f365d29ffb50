"""Tables of the prediction log, the same on SQLite and PostgreSQL, and how a log is opened."""

import time
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url

from digits.dataset import CLASSES, IMAGE_SIZE
from digits.errors import PipelineError

# Raised with every change of the tables, so that a program knows whether it can read a log that it finds.
SCHEMA = 1
SECOND = 1_000_000  # microseconds
PIXELS = IMAGE_SIZE**2  # bytes of an image
SHARES = 4 * CLASSES  # bytes of its probabilities
# That SQLite keeps prepared, each with the images that it wrote last: every size of a batch is a statement of its own.
_STATEMENTS = 32

# By position: a batch is one statement.
_PARAMETERS: dict[str, Literal["qmark", "format"]] = {"sqlite": "qmark", "postgresql": "format"}
# libpq's, unless the URL has others: a server that is gone without a word is given up, and not for hours waited for.
_PATIENCE = {"connect_timeout": "10", "tcp_user_timeout": "10000", "keepalives_idle": "10"}
_LOCK_MILLISECONDS = (
    10_000  # to wait for a lock that another program has; after that nothing is written, and it is told
)

METADATA = sa.MetaData()
FACTS = sa.Table(
    "facts",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(200), nullable=False),
)
PREDICTIONS = sa.Table(
    "predictions",
    METADATA,
    # Sorted by time (RFC 9562's version 7), so that the one index serves both, and new rows go to its end.
    sa.Column("id", sa.LargeBinary(16), primary_key=True),
    sa.Column("time", sa.BigInteger, nullable=False),  # microseconds since 1970, UTC
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("stage", sa.String(64), nullable=False),
    sa.Column("pixels", sa.LargeBinary, nullable=False),  # PIXELS uint8, as they were scored
    sa.Column("probabilities", sa.LargeBinary, nullable=False),  # CLASSES float32, little-endian
    sa.Column("label", sa.SmallInteger, nullable=False),  # as predicted
)
LABELS = sa.Table(
    "labels",
    METADATA,
    sa.Column("prediction", sa.LargeBinary(16), primary_key=True),  # its id
    sa.Column("time", sa.BigInteger, nullable=False),  # when it came; one that corrects it changes nothing about that
    sa.Column("label", sa.SmallInteger, nullable=False),  # the true one
    sa.Column("source", sa.String(64), nullable=False),  # who says so, in his own words
    sa.Column("client", sa.String(16), nullable=False),  # the same for the same address, without telling which
    sa.Index("labels_by_time", "time", "prediction"),
)


class LogError(PipelineError):
    """The prediction log can't be opened, read or written."""


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def connect(url: str, power_safe: bool = False) -> Engine:
    """Open the log at an SQLAlchemy URL, with tables of this program's `SCHEMA`, made if there are none.

    Args:
        url: `sqlite:///logs/production.db` or `postgresql://user:password@host/database`.
        power_safe: let SQLite wait at each commit until the disk has it, as PostgreSQL does. Without, what was written
            survives a kill of the service but, of what came after the last checkpoint (a second or so), not a power
            failure; the file is sound either way.

    Raises:
        LogError: no database answers there, or its tables are another program's.
    """
    try:
        address = make_url(url)
        if address.drivername in ("postgresql", "postgres"):  # as hosts write it; SQLAlchemy means psycopg 2 by it
            address = address.set(drivername="postgresql+psycopg")
        backend = address.get_backend_name()
        if backend not in _PARAMETERS:
            raise LogError(f"{_without_password(url)}: expected sqlite:///... or postgresql://..., found {backend}")
        if backend == "sqlite":
            if not address.database or address.database.startswith((":memory:", "file:")):
                raise LogError(f"{url}: expected the name of a file that stays, as in sqlite:///logs/production.db")
            Path(address.database).parent.mkdir(parents=True, exist_ok=True)
            options = {"cached_statements": _STATEMENTS}
        else:
            address, options = address.update_query_dict(_PATIENCE | dict(address.query)), {}
        engine = sa.create_engine(address, paramstyle=_PARAMETERS[backend], hide_parameters=True, connect_args=options)
        if backend == "postgresql":
            event.listen(engine, "connect", _prepare_postgresql)
        else:
            event.listen(engine, "connect", _power_safe_sqlite if power_safe else _prepare_sqlite)
        try:
            found = _form(engine)
        except BaseException:
            engine.dispose()
            raise
    except (sa.exc.SQLAlchemyError, ModuleNotFoundError, OSError, ValueError) as error:
        raise LogError(f"{_without_password(url)}: the prediction log can't be opened: {reason(error)}") from None
    if found != str(SCHEMA):
        engine.dispose()
        raise LogError(
            f"{_without_password(url)}: a log with tables of form {found}, this program writes form {SCHEMA}; "
            f"name another in MNIST_LOG_URL, or run the version of this project that wrote it"
        )
    return engine


def _form(engine: Engine) -> str | None:
    """The `SCHEMA` of the tables in a database. Where there are none, they are made."""
    with engine.begin() as connection:
        # Of two programs that find an empty database, one makes the tables.
        postgresql = engine.dialect.name == "postgresql"
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(0)" if postgresql else "BEGIN IMMEDIATE")
        if not set(sa.inspect(connection).get_table_names()) & set(METADATA.tables):
            METADATA.create_all(connection, checkfirst=False)
            connection.execute(sa.insert(FACTS).values(name="schema", value=str(SCHEMA)))
        return connection.scalar(sa.select(FACTS.c.value).where(FACTS.c.name == "schema"))


def reason(error: Exception) -> str:
    """First line of what a database or its driver said."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _prepare_postgresql(connection: Any, _record: object) -> None:
    """Wait for locks, but not for ever; unless the URL, the user or the server says for how long."""
    connection.execute(
        "SELECT set_config('lock_timeout', %s, false) WHERE current_setting('lock_timeout') = '0'",
        [str(_LOCK_MILLISECONDS)],
    )
    connection.commit()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for setting in (
        f"busy_timeout = {_LOCK_MILLISECONDS}",  # for another process that writes
        "auto_vacuum = INCREMENTAL",  # before the first table: what retention frees can go back to the disk
        "journal_mode = WAL",  # others read while the service writes
        "synchronous = NORMAL",
        "journal_size_limit = 50000000",
        "wal_autocheckpoint = 0",  # not while somebody waits for an answer: `retention` does it
    ):
        connection.execute(f"PRAGMA {setting}").close()


def _power_safe_sqlite(connection: Any, record: object) -> None:
    _prepare_sqlite(connection, record)
    connection.execute("PRAGMA synchronous = FULL").close()


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "MNIST_LOG_URL"
