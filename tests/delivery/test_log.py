import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from delivery import schema
from delivery.history import History
from delivery.log import Feedback, PredictionLog, as_bytes, as_text, identifier
from delivery.schema import LogError, now
from tests.delivery.databases import Postgresql, scored

ROOT = Path(__file__).parents[2]
UNKNOWN = "0190a7c0-0000-7000-8000-000000000000"


def rows(log):
    """All that is on record, in one part."""
    return History(log.engine).latest(1_000_000)


def send(log, identifier, label, correct=False, source="anonymous"):
    return log.feedback(identifier, label, source, "127.0.0.1", correct)


def test_what_was_scored_is_what_is_on_record(log):
    before, batch = now(), scored(3)
    ids = log.append(batch)
    found = rows(log)

    assert found.ids == ids
    np.testing.assert_array_equal(found.pixels, batch.pixels)
    np.testing.assert_array_equal(found.probabilities, batch.probabilities)
    assert found.labels.tolist() == batch.labels
    assert (found.versions, found.stages) == (["v0.1.0"] * 3, ["production"] * 3)
    assert before <= found.times[0] <= now() + 3
    assert np.diff(found.times).tolist() == [1, 1]
    assert found.truths.tolist() == [-1] * 3


def test_an_append_is_on_record_for_others_when_it_returns(log, database):
    for count in range(1, 4):
        log.append(scored())
        assert database.execute("SELECT count(*) FROM predictions") == [(count,)]


def test_ids_are_uuids_in_the_order_of_time(log):
    ids = [one for _ in range(20) for one in log.append(scored(2))]

    assert ids == sorted(ids)
    assert len({one[-12:] for one in ids}) == 40
    assert {uuid.UUID(one).version for one in ids} == {7}
    assert {uuid.UUID(one).variant for one in ids} == {uuid.RFC_4122}
    assert [as_text(as_bytes(one)) for one in ids] == ids


def test_an_id_holds_its_time():
    time = 1_790_000_000_123_456
    lowest, highest = identifier(time), identifier(time, b"\xff" * 8)
    assert int.from_bytes(lowest[:6], "big") == time // 1000
    assert identifier(time - 1, b"\xff" * 8) < lowest < highest < identifier(time + 1)


def test_a_batch_is_written_as_a_whole_or_not_at_all(log, database, monkeypatch):
    (first,) = log.append(scored())
    same = as_bytes(first)
    monkeypatch.setattr("delivery.log.identifier", lambda time, random: same)
    with pytest.raises(LogError, match="the prediction log can't be written: "):
        log.append(scored(5))
    monkeypatch.undo()

    assert database.execute("SELECT count(*) FROM predictions") == [(1,)]
    log.append(scored())  # and it goes on
    assert database.execute("SELECT count(*) FROM predictions") == [(2,)]


def test_the_largest_batch_fits_into_a_statement(log):
    assert len(log.append(scored(1000))) == 1000
    assert len(rows(log)) == 1000


def test_threads_that_append_lose_nothing(log):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seed: (log.append(scored(3, seed=seed)), seed), range(40)))
    found = rows(log)
    pixels = dict(zip(found.ids, found.pixels, strict=True))

    assert len(found) == 120
    for ids, seed in answers:
        np.testing.assert_array_equal([pixels[one] for one in ids], scored(3, seed=seed).pixels)


def test_two_processes_that_write_the_same_log_lose_nothing(log, database):
    script = (
        "import sys; from delivery.log import PredictionLog; from tests.delivery.databases import scored\n"
        "log = PredictionLog(sys.argv[1], 'production')\n"
        "print(flush=True)\n"
        "print(*(one for _ in range(50) for one in log.append(scored(2))))\n"
        "print(log.client('127.0.0.1'))\n"
        "log.close()"
    )
    command = [sys.executable, "-c", script, database.url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()  # it is ready
        ours = [one for _ in range(50) for one in log.append(scored(2))]
        theirs, client = other.stdout.read().splitlines()

    assert other.returncode == 0
    assert sorted(rows(log).ids) == sorted(ours + theirs.split())
    assert client == log.client("127.0.0.1")  # both call the same address the same


def test_the_first_label_stays_until_somebody_corrects_it(log):
    (one,) = log.append(scored())

    assert send(log, one, 4, source="ann") == (Feedback.STORED, 4)
    assert send(log, one, 4) == (Feedback.SAME, 4)
    assert send(log, one, 4, correct=True) == (Feedback.SAME, 4)
    assert send(log, one, 5) == (Feedback.CONFLICT, 4)
    assert (rows(log).truths.tolist(), rows(log).sources) == ([4], ["ann"])
    assert send(log, one, 5, correct=True, source="bob") == (Feedback.CORRECTED, 5)
    assert (rows(log).truths.tolist(), rows(log).sources) == ([5], ["bob"])
    assert rows(log).labels.tolist() == scored().labels  # what was predicted stays


def test_a_label_that_is_corrected_keeps_the_time_when_it_came(log):
    (one,) = log.append(scored())
    send(log, one, 4)
    came = rows(log).truth_times.tolist()
    assert send(log, one, 5, correct=True) == (Feedback.CORRECTED, 5)
    assert (rows(log).truths.tolist(), rows(log).truth_times.tolist()) == ([5], came)


def test_a_label_for_an_unknown_prediction_is_not_kept(log, database):
    log.append(scored())
    assert send(log, UNKNOWN, 4) == (Feedback.UNKNOWN, None)
    assert send(log, UNKNOWN, 4, correct=True) == (Feedback.UNKNOWN, None)
    assert database.execute("SELECT count(*) FROM labels") == [(0,)]


def test_of_labels_that_come_at_once_one_is_the_first(log):
    for _ in range(5):
        (one,) = log.append(scored())
        start = threading.Barrier(8)

        def vote(label, one=one, start=start):
            start.wait()
            return send(log, one, label)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(vote, range(8)))
        (first,) = [label for label, (what, _) in enumerate(answers) if what is Feedback.STORED]
        others = {answer for label, answer in enumerate(answers) if label != first}
        assert others == {(Feedback.CONFLICT, first)}
        assert rows(log).truths[-1] == first


def test_clients_are_told_apart_without_telling_who_they_are(log, database):
    names = [log.client(address) for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1", None)]
    assert names[0] == names[2]
    assert len(set(names)) == 3
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names)
    again = PredictionLog(database.url, "staging")
    assert again.client("10.0.0.1") == names[0]
    again.close()
    (one,) = log.append(scored())
    log.feedback(one, 1, "anonymous", "10.0.0.1")
    assert "10.0.0.1" not in str(database.execute("SELECT * FROM labels"))
    assert rows(log).clients == [names[0]]


def test_a_machine_with_many_addresses_of_ipv6_is_one_client(log):
    home = log.client("2001:db8:1:2::1")
    assert {log.client(address) for address in ("2001:db8:1:2:ffff::9", "2001:DB8:1:2:0::7%eth0")} == {home}
    assert log.client("2001:db8:1:3::1") != home
    assert log.client("::1") not in (home, log.client("127.0.0.1"))


def test_an_address_of_ipv4_is_the_same_client_however_it_is_written(log):
    assert log.client("::ffff:10.0.0.1") == log.client("10.0.0.1") != log.client("::ffff:10.0.0.2")


def test_without_room_nothing_is_promised_and_all_goes_on_once_there_is(log, database):
    kept = log.append(scored())
    database.fill_up(log)
    for _ in range(2):
        with pytest.raises(LogError, match=r"the prediction log can't be written: .*(full|read-only)"):
            log.append(scored(50))
    database.make_room(log)
    kept += log.append(scored())

    assert rows(log).ids == kept


def test_a_connection_that_is_lost_is_made_again(postgresql):
    database = Postgresql(postgresql)
    log = PredictionLog(database.url, "production")
    ids = log.append(scored())
    database.disconnect()
    ids += log.append(scored())
    database.disconnect()
    assert send(log, ids[0], 3) == (Feedback.STORED, 3)
    assert rows(log).ids == ids
    log.close()


def test_while_somebody_locks_the_table_nothing_is_promised_and_all_goes_on_afterwards(postgresql, monkeypatch):
    monkeypatch.setattr(schema, "_LOCK_MILLISECONDS", 50)
    database = Postgresql(postgresql)
    log = PredictionLog(database.url, "production")
    ids = log.append(scored())
    with postgresql.connect(database.name) as other, other.transaction():
        other.execute("SET LOCAL idle_in_transaction_session_timeout = '20s'")  # so that a test that waits ends
        other.execute("LOCK TABLE predictions")
        with pytest.raises(LogError, match="can't be written: canceling statement due to lock timeout"):
            log.append(scored())
        with pytest.raises(LogError, match="lock timeout"):
            send(log, ids[0], 3)
    ids += log.append(scored())
    assert send(log, ids[0], 3) == (Feedback.STORED, 3)
    assert rows(log).ids == ids
    log.close()
