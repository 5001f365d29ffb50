import threading

import numpy as np
import pytest
import sqlalchemy as sa

from delivery.history import EVERYTHING, UNKNOWN, History, Window
from delivery.log import as_bytes
from delivery.schema import LABELS, PREDICTIONS, LogError, now
from tests.delivery.databases import scored

START = 1_790_000_000_000_000


@pytest.fixture
def filled(log, monkeypatch):
    """Ten predictions a second apart, the odd ones by another version; and their ids."""
    ids = []
    for second in range(10):
        monkeypatch.setattr("delivery.log.now", lambda second=second: START + second * 1_000_000)
        ids += log.append(scored(version=f"v0.{second % 2}.0", seed=second))
    return log, ids


def at(second):
    return START + second * 1_000_000


def parts(found):
    return [part.ids for part in found]


def test_nothing_is_read_from_an_empty_log(log):
    history = History(log.engine)
    assert parts(history.predictions()) == parts(history.labelled()) == []
    assert (history.count(), len(history.latest(5))) == (0, 0)
    assert history.latest(5).pixels.shape == (0, 28, 28)
    assert history.latest(5).probabilities.shape == (0, 10)


def test_all_of_it_is_read_in_order_and_in_parts(filled):
    log, ids = filled
    pixels = np.concatenate([scored(seed=second).pixels for second in range(10)])
    for part in (1, 3, 10, 1000):
        found = list(History(log.engine).predictions(part=part))
        assert [one for rows in found for one in rows.ids] == ids
        assert {len(rows) for rows in found[:-1]} <= {part}
        np.testing.assert_array_equal(np.concatenate([rows.pixels for rows in found]), pixels)


def test_a_window_has_what_it_says(filled):
    log, ids = filled
    history = History(log.engine)
    for window, seconds in (
        (EVERYTHING, range(10)),
        (Window(since=at(3)), range(3, 10)),
        (Window(until=at(3)), range(3)),
        (Window(since=at(3), until=at(4)), [3]),
        (Window(since=at(3) + 1, until=at(4)), []),
        (Window(version="v0.1.0"), range(1, 10, 2)),
        (Window(version="v0.1.0", since=at(4)), [5, 7, 9]),
        (Window(stage="production"), range(10)),
        (Window(stage="staging"), []),
    ):
        expected = [ids[second] for second in seconds]
        assert [one for rows in history.predictions(window, part=2) for one in rows.ids] == expected, window
        assert history.count(window) == len(expected), window
        assert history.latest(2, window).ids == expected[-2:], window


def test_labels_are_read_in_the_order_in_which_they_came(filled, monkeypatch):
    log, ids = filled
    for second, which in enumerate([7, 2, 5, 4]):
        monkeypatch.setattr("delivery.log.now", lambda second=second: at(100 + second // 2))  # two at the same time
        log.feedback(ids[which], which, "ann", None)
    history = History(log.engine)

    for part in (1, 2, 1000):
        found = list(history.labelled(part=part))
        assert [one for rows in found for one in rows.ids] == [ids[which] for which in (2, 7, 4, 5)]
        assert [label for rows in found for label in rows.truths.tolist()] == [2, 7, 4, 5]
        assert [time for rows in found for time in rows.truth_times.tolist()] == [at(100)] * 2 + [at(101)] * 2
    assert parts(history.labelled(Window(since=at(101)))) == [[ids[4], ids[5]]]
    assert parts(history.labelled(Window(until=at(101), version="v0.1.0"))) == [[ids[7]]]
    everything = history.latest(10)
    assert everything.truths.tolist() == [UNKNOWN, UNKNOWN, 2, UNKNOWN, 4, 5, UNKNOWN, 7, UNKNOWN, UNKNOWN]
    assert [bool(client) for client in everything.clients] == [truth != UNKNOWN for truth in everything.truths]


def test_it_is_read_while_it_is_written(log):
    """Whoever reads never sees half a batch, and no longer waits for who writes."""
    stop = threading.Event()

    def write():
        seed = 0
        while not stop.is_set():
            log.append(scored(7, seed=seed))
            seed += 1

    writing = threading.Thread(target=write)
    writing.start()
    try:
        history, counts = History(log.engine), []
        while len(counts) < 20 or counts[-1] < 70:
            counts.append(history.count())
        assert {count % 7 for count in counts} == {0}
        assert counts == sorted(counts)
        read = [one for rows in history.predictions(Window(until=now()), part=50) for one in rows.ids]
        assert read == sorted(set(read))
    finally:
        stop.set()
        writing.join()


@pytest.mark.parametrize("values", [{"pixels": bytes(783)}, {"probabilities": bytes(44)}])
def test_a_row_that_another_program_has_changed_is_named(filled, values):
    log, ids = filled
    with log.engine.begin() as connection:
        connection.execute(sa.update(PREDICTIONS).where(PREDICTIONS.c.id == as_bytes(ids[4])).values(values))
    with pytest.raises(
        LogError, match=rf"^prediction {ids[4]} has \d+ bytes of pixels and \d+ of probabilities, not 784"
    ):
        list(History(log.engine).predictions())


@pytest.mark.parametrize("value", [-1, 10])
def test_a_label_that_is_none_is_named_with_its_row(filled, value):
    log, ids = filled
    history = History(log.engine)
    log.feedback(ids[4], 3, "test", None)
    for table, key, part in ((LABELS, LABELS.c.prediction, "true label"), (PREDICTIONS, PREDICTIONS.c.id, "label")):
        with log.engine.begin() as connection:
            connection.execute(sa.update(table).where(key == as_bytes(ids[4])).values(label=value))
        readers = [history.predictions, history.labelled]
        if value != UNKNOWN or table is PREDICTIONS:  # counts have it for those without a true label
            readers.append(lambda: history.counts(EVERYTHING, 1_000_000))
        for read in readers:
            with pytest.raises(LogError, match=rf"^prediction {ids[4]} has .*{part} {value}\b.*remove that row$"):
                list(read())
    assert len(history.counts(Window(until=at(4)), 1_000_000)) == 4


def test_labels_are_counted_by_when_they_came(filled, monkeypatch):
    log, ids = filled
    for second, key in enumerate(ids[:4]):
        monkeypatch.setattr("delivery.log.now", lambda second=second: at(100 + second))
        log.feedback(key, 3, "test", None)
    history = History(log.engine)
    assert history.count_labelled() == 4
    assert history.count_labelled(Window(since=at(101), until=at(103), stage="production")) == 2
    assert history.count_labelled(Window(stage="staging")) == 0


def test_the_database_counts_by_period_version_answer_and_true_label(filled):
    log, ids = filled
    history = History(log.engine)
    (rows,) = history.predictions()
    log.feedback(ids[0], 7, "test", None)
    found = history.counts(Window(since=at(0), until=at(9), stage="production"), 4_000_000)
    assert sum(count.predictions for count in found) == 9
    assert {count.since for count in found} == {at(0), at(4), at(8)}
    (first,) = (count for count in found if count.truth != UNKNOWN)
    assert (first.version, first.label, first.truth, first.predictions) == ("v0.0.0", rows.labels[0], 7, 1)
    assert (first.first, first.last) == (at(0), at(0))
    odd = [count for count in found if (count.since, count.version) == (at(4), "v0.1.0")]
    assert sorted(count.label for count in odd for _ in range(count.predictions)) == sorted(rows.labels[[5, 7]])
    assert (min(count.first for count in odd), max(count.last for count in odd)) == (at(5), at(7))
    assert history.counts(Window(stage="staging"), 4_000_000) == []


def test_the_time_of_the_so_manieth_newest(filled):
    history = History(filled[0].engine)
    assert [history.time_of_newest(place) for place in (1, 4, 10, 11)] == [at(9), at(6), at(0), None]
    assert history.time_of_newest(3, Window(since=at(8))) is None
    assert history.time_of_newest(1, Window(stage="staging")) is None


def test_predictions_are_found_by_their_ids_if_they_are_there(filled):
    log, ids = filled
    gone = "f" + ids[0][1:]
    found = History(log.engine).named([ids[7], gone, ids[2]])
    assert (found.ids, found.times.tolist()) == ([ids[2], ids[7]], [at(2), at(7)])
    assert len(History(log.engine).named([])) == 0
