import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest

from delivery import retention
from delivery.history import History
from delivery.log import PredictionLog
from delivery.retention import Retention
from delivery.schema import SECOND, now
from tests.delivery.databases import scored
from tests.e2e.project import wait_for

DAY = 86_400 * SECOND
PLENTY = 10**12


@pytest.fixture
def file(sqlite):
    """A log in SQLite."""
    opened = PredictionLog(sqlite.url, "production")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(retention, "_PAUSE", 0)


def age(monkeypatch, log, days, count=1):
    """Append predictions of some days ago; their ids."""
    time = now() - int(days * DAY)
    with monkeypatch.context() as patch:
        patch.setattr("delivery.log.now", lambda: time)
        return log.append(scored(count))


def ids(log):
    return History(log.engine).latest(1_000_000).ids


def test_what_is_too_old_goes_with_its_label(log, database, monkeypatch):
    old, young = age(monkeypatch, log, 3, 450), age(monkeypatch, log, 1, 3)  # more than two parts
    for one in (old[0], old[-1], young[0]):
        log.feedback(one, 1, "ann", None)

    assert Retention(log, 2, PLENTY).prune() == 450
    assert ids(log) == young
    assert database.execute("SELECT count(*) FROM labels") == [(1,)]
    assert Retention(log, 2, PLENTY).prune() == 0
    assert log.feedback(old[0], 1, "ann", None)[0] == "unknown"


def test_what_is_too_much_goes_oldest_first(log, monkeypatch):
    all_ids = [one for _ in range(6) for one in log.append(scored(500))]
    limit = 1_000_000
    keeper = Retention(log, 365, limit)
    assert keeper.bytes_used() > 2 * limit
    removed = keeper.prune()

    assert ids(log) == all_ids[removed:]
    assert 0.7 * limit < keeper.bytes_used() <= limit


def test_what_the_log_takes_is_what_its_files_take(log, database):
    for _ in range(4):
        log.append(scored(500))
    keeper = Retention(log, 365, PLENTY)
    if log.engine.dialect.name == "sqlite":
        keeper.checkpoint()
        files = sum(database.path.with_name(f"production.db{end}").stat().st_size for end in ("", "-wal"))
    else:
        tables = ("predictions", "labels")
        files = sum(database.execute(f"SELECT pg_total_relation_size('{name}')")[0][0] for name in tables)
    assert keeper.bytes_on_disk() == files > 1_500_000


def test_predictions_that_come_while_others_are_removed_let_no_file_grow(file, sqlite, monkeypatch):
    cap, wal = 2_000_000, 1_000_000
    monkeypatch.setattr(retention, "_WAL_BYTES", wal)
    monkeypatch.setattr(retention, "_CHECKPOINT_SECONDS", 0)
    for _ in range(16):
        file.append(scored(500))
    keeper = Retention(file, 365, cap)
    keeper.checkpoint()
    file.append(scored())  # and with it the write-ahead log is begun anew
    parts, sizes = [], []

    def append():
        for _ in range(3):
            file.append(scored(100))

    def pause(_seconds):
        if parts:
            parts[-1].result()
        assert len(parts) < 200, "as many come as go"
        parts.append(pool.submit(append))
        sizes.append(sum(sqlite.path.with_name(f"production.db{end}").stat().st_size for end in ("", "-wal")))

    monkeypatch.setattr(keeper._stop, "wait", pause)
    with ThreadPoolExecutor(1) as pool:
        keeper.prune()

    assert len(parts) > 8
    assert max(sizes) < max(sizes[:3]) + 3 * wal
    part = 300 * 1100  # of new ones, with their index
    assert keeper.bytes_used() <= cap + 2 * part
    assert sqlite.path.stat().st_size <= cap + wal + 2 * part


def test_what_is_too_much_goes_before_the_next_minute(file, monkeypatch):
    monkeypatch.setattr(retention, "_CHECKPOINT_SECONDS", 0.01)
    keeper = Retention(file, 365, 1_000_000)
    keeper.start()
    wait_for(lambda: keeper.bytes > 0)  # it has looked for the first time
    for _ in range(4):
        file.append(scored(500))
    wait_for(lambda: keeper.bytes_used() <= 1_000_000, 30)
    keeper.close()


def test_what_is_within_the_limits_stays(log):
    kept = log.append(scored(10))
    for days in (90, 10**6, float("inf")):
        assert Retention(log, days, PLENTY).prune() == 0
    assert ids(log) == kept


def test_predictions_go_on_while_others_are_removed(log, monkeypatch):
    age(monkeypatch, log, 100, 3000)
    keeper, stop, kept = Retention(log, 1, PLENTY), threading.Event(), []

    def write():
        while not stop.is_set():
            kept.extend(log.append(scored(2)))

    writing = threading.Thread(target=write)
    writing.start()
    try:
        assert keeper.prune() == 3000
    finally:
        stop.set()
        writing.join()
    assert ids(log) == kept


def test_a_lowered_limit_gives_the_disk_its_space_back(file, sqlite):
    for _ in range(10):
        file.append(scored(500))
    keeper = Retention(file, 365, 1_000_000)
    keeper.checkpoint()
    assert sqlite.path.stat().st_size > 4_000_000
    keeper.prune()
    keeper.checkpoint()

    assert sqlite.path.stat().st_size <= 1_000_000
    assert sqlite.execute("PRAGMA integrity_check") == [("ok",)]


def test_the_write_ahead_log_stays_short(file, sqlite, monkeypatch):
    monkeypatch.setattr(retention, "_WAL_BYTES", 1_000_000)
    keeper, wal = Retention(file, 365, PLENTY), sqlite.path.with_name("production.db-wal")
    sizes = []
    for _ in range(12):
        file.append(scored(500))
        keeper.checkpoint()
        sizes.append(wal.stat().st_size)

    assert sizes[-1] < 12 * 500 * 784 / 2
    assert len(ids(file)) == 6000


def test_nobody_waits_for_a_write_ahead_log_that_is_short(file, monkeypatch):
    lock = mock.MagicMock()
    keeper = Retention(file, 365, PLENTY)
    file.append(scored(5))
    with monkeypatch.context() as patch:
        patch.setattr(file, "writing", lock)
        keeper.checkpoint()
        assert lock.mock_calls == []
        patch.setattr(retention, "_WAL_BYTES", 4096)
        keeper.checkpoint()
        assert [name for name, *_ in lock.mock_calls] == ["__enter__", "__exit__"]


def test_it_works_beside_the_service_until_it_is_told_to_stop(log, monkeypatch):
    monkeypatch.setattr(retention, "_CHECKPOINT_SECONDS", 0.01)
    age(monkeypatch, log, 3, 5)
    kept = log.append(scored(2))
    keeper = Retention(log, 2, PLENTY)
    keeper.start()
    wait_for(lambda: ids(log) == kept and keeper.bytes > 0)
    keeper.close()
    assert not keeper._thread.is_alive()


def test_what_fails_is_told_once_and_tried_again(file, sqlite, monkeypatch, capfd):
    monkeypatch.setattr(retention, "_CHECKPOINT_SECONDS", 0.001)
    tries = []

    def broken():
        tries.append(1)
        if len(tries) < 5:
            raise sqlite3.OperationalError("no such thing")

    keeper = Retention(file, 2, PLENTY)
    monkeypatch.setattr(keeper, "prune", broken)
    keeper.start()
    wait_for(lambda: len(tries) == 5)
    keeper.close()
    assert capfd.readouterr().err == "error: the prediction log can't be shortened: no such thing\n"
