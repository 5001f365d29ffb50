import multiprocessing
import time

import pytest
import sqlalchemy as sa

from delivery import schema
from delivery.schema import METADATA, SCHEMA, LogError, connect, now, reason

TABLES = {"facts", "labels", "predictions"}


def test_an_empty_database_gets_its_tables_once(database):
    for _ in range(2):
        engine = connect(database.url)
        assert set(sa.inspect(engine).get_table_names()) == set(METADATA.tables) == TABLES
        engine.dispose()
    assert database.execute("SELECT value FROM facts") == [(str(SCHEMA),)]


def opened(url, gate, answers):
    gate.wait()
    try:
        connect(url).dispose()
        answers.put("")
    except BaseException as error:
        answers.put(repr(error))


def test_of_many_programs_that_find_an_empty_database_one_makes_the_tables(database):
    spawn = multiprocessing.get_context("spawn")
    gate, answers = spawn.Barrier(4), spawn.Queue()
    processes = [spawn.Process(target=opened, args=(database.url, gate, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    assert [answers.get() for _ in processes] == [""] * 4
    for process in processes:
        process.join()
    assert database.execute("SELECT name, value FROM facts") == [("schema", str(SCHEMA))]


def test_a_log_of_another_form_is_refused_and_not_touched(database):
    connect(database.url).dispose()
    database.execute("UPDATE facts SET value = '99'")
    with pytest.raises(LogError, match=r"tables of form 99, this program writes form 1; name another in MNIST_LOG_URL"):
        connect(database.url)
    assert database.execute("SELECT value FROM facts") == [("99",)]


def test_tables_of_something_else_are_refused_and_not_touched(database):
    connect(database.url).dispose()
    for table in TABLES - {"predictions"}:
        database.execute(f"DROP TABLE {table}")
    with pytest.raises(LogError, match=r"can't be opened: .*facts"):
        connect(database.url)
    with pytest.raises(LogError):  # nor does a second try find what a first one has made
        connect(database.url)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("nonsense", "MNIST_LOG_URL: the prediction log can't be opened"),
        ("sqlite://", "expected the name of a file that stays, as in sqlite:///logs/production.db"),
        ("sqlite:///:memory:", "expected the name of a file that stays"),
        ("sqlite:///file:log?mode=memory&uri=true", "expected the name of a file that stays"),
        ("mysql://you:secret@localhost/x", r"mysql://you:\*\*\*@localhost/x: expected sqlite.* found mysql"),
        ("postgresql+nodriver://localhost/x", "can't be opened: .*nodriver"),
        ("postgresql://you:secret@127.0.0.1:1/x", r"postgresql://you:\*\*\*@127.0.0.1:1/x: .*connection failed"),
    ],
)
def test_what_is_no_log_is_refused_without_telling_the_password(url, complaint):
    with pytest.raises(LogError, match=complaint) as caught:
        connect(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_of_sqlite_s_is_refused(sqlite):
    sqlite.path.parent.mkdir()
    sqlite.path.write_bytes(b"no database" * 1000)
    with pytest.raises(LogError, match="file is not a database"):
        connect(sqlite.url)
    assert sqlite.path.read_bytes() == b"no database" * 1000


def test_a_folder_that_can_t_be_made_is_named(sqlite):
    sqlite.path.parent.write_text("a file")
    with pytest.raises(LogError, match=r"production\.db: the prediction log can't be opened: .*logs"):
        connect(sqlite.url)


@pytest.mark.parametrize(("power_safe", "synchronous"), [(False, 1), (True, 2)])
def test_sqlite_is_set_up_to_be_read_while_it_is_written(sqlite, power_safe, synchronous):
    engine = connect(sqlite.url, power_safe)
    with engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "auto_vacuum", "busy_timeout", "wal_autocheckpoint")
        }
    engine.dispose()
    assert settings == {
        "journal_mode": "wal",
        "synchronous": synchronous,
        "auto_vacuum": 2,
        "busy_timeout": 10000,
        "wal_autocheckpoint": 0,
    }


def test_postgresql_waits_for_the_disk_and_not_for_ever(postgresql):
    name = postgresql.new_database()
    engine = connect(postgresql.url(name))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
    assert engine.url.query["connect_timeout"] == "10"
    engine.dispose()
    engine = connect(f"{postgresql.url(name)}&connect_timeout=3")
    assert engine.url.query["connect_timeout"] == "3"
    engine.dispose()


def test_a_lock_that_somebody_keeps_is_not_waited_for_for_ever(postgresql, monkeypatch):
    monkeypatch.setattr(schema, "_LOCK_MILLISECONDS", 50)
    name = postgresql.new_database()
    with postgresql.connect(name) as other, other.transaction():
        other.execute("SET LOCAL idle_in_transaction_session_timeout = '20s'")  # so that a test that waits ends
        other.execute("SELECT pg_advisory_xact_lock(0)")  # as a service does that is just making the tables
        with pytest.raises(LogError, match="can't be opened: canceling statement due to lock timeout"):
            connect(postgresql.url(name))
    connect(postgresql.url(name)).dispose()


@pytest.mark.parametrize(("options", "expected"), [("", "10s"), ("&options=-c lock_timeout=3000", "3s")])
def test_how_long_locks_are_waited_for_can_be_said(postgresql, options, expected):
    engine = connect(postgresql.url(postgresql.new_database()) + options)
    for _ in range(2):  # the second time on a connection that was given back, and rolled back, before
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == expected
    engine.dispose()


def test_now_is_in_microseconds():
    assert abs(now() / 1e6 - time.time()) < 60


def test_of_what_a_driver_says_the_first_line_is_told():
    assert reason(ValueError("first\nsecond")) == "first"
