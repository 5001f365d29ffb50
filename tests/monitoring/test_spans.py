import itertools

import pytest

from delivery.schema import SECOND
from monitoring.spans import SPANS, period, thinned

NOW = 1_800_000_000 * SECOND
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND


def test_each_period_is_made_of_whole_shorter_ones():
    lengths = [span.period for span in SPANS.values()]
    assert [long % short for short, long in itertools.pairwise(lengths)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("ago", "length"),
    [(0, 15), (15 * MINUTE, 15), (16 * MINUTE, 60), (5 * HOUR, 360), (20 * HOUR, 1800), (7 * 24 * HOUR, 10_800)],
)
def test_the_longer_ago_the_longer_is_the_period(ago, length):
    since, found = period(NOW - ago, NOW)
    assert (found, since % found) == (length * SECOND, 0)
    assert since <= NOW - ago < since + found


def test_what_is_older_than_any_span_has_none_and_what_is_of_the_future_has():
    assert period(NOW - 8 * 24 * HOUR, NOW) is None
    assert period(NOW + HOUR, NOW) == (NOW + HOUR, 15 * SECOND)


@pytest.mark.parametrize("span", SPANS.values())
def test_of_each_period_of_a_span_its_entries_are_kept_apart_from_those_of_before(span):
    """Thinned again and again while time goes on, as it is done."""
    kept, every = (), range(NOW - 8 * 24 * HOUR, NOW, 7 * MINUTE)
    for time in every:
        kept = thinned((*kept, (time, 1)), time, lambda one: one[0], lambda _: "", lambda a, b: (b[0], a[1] + b[1]))
    length = span.period * SECOND
    since = (NOW - span.seconds * SECOND) // length * length
    for start in range(since, NOW, length):
        assert sum(count for time, count in kept if start <= time < start + length) == sum(
            start <= time < start + length for time in every
        )


def test_however_much_comes_no_more_than_so_much_is_kept():
    kept = ()
    for time in range(NOW, NOW + 8 * 24 * HOUR, MINUTE // 4):
        kept = thinned((*kept, time), time, int, lambda _: "", max) if time % HOUR == 0 else (*kept, time)
    kept = thinned(kept, time, int, lambda _: "", max)
    assert 200 < len(kept) < 310
    assert kept == tuple(sorted(kept))
