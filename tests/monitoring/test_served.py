import math

import pytest

from monitoring import served
from monitoring.served import Measured, MeasuredError, Part, Served, quantile

SECOND = 1_000_000
DAY = 24 * 3600 * SECOND


def part(second: float, *counts: int, statuses: dict[int, int] | None = None) -> Part:
    within = dict(zip((0.01, 0.1, 1.0, math.inf), counts, strict=True)) if counts else {}
    return Part(round(second * SECOND), within, statuses or ({200: counts[-1]} if counts else {}))


@pytest.mark.parametrize(("share", "seconds"), [(0.25, 0.005), (0.5, 0.01), (0.7, 0.055), (0.95, 0.55), (1.0, 1.0)])
def test_quantiles_are_interpolated_within_their_bucket(share, seconds):
    assert quantile({0.01: 50, 0.1: 90, 1.0: 100, math.inf: 100}, share) == pytest.approx(seconds)
    assert quantile({0.01: 0, 0.1: 100, 1.0: 100, math.inf: 100}, share) == pytest.approx(0.01 + 0.09 * share)


def test_what_is_slower_than_the_last_bound_is_told_as_that():
    assert quantile({0.01: 1, math.inf: 10}, 0.99) == 0.01
    assert quantile({math.inf: 10}, 0.5) == 0.0


def test_periods_tell_of_the_parts_that_ended_in_them():
    assert (Measured().since, Measured().periods(0, 10**9, 60 * SECOND)) == (None, [])
    parts = [
        part(50),
        part(70),  # nothing asked
        part(100, 10, 10, 10, 10),
        part(121, 0, 7, 7, 7),
        part(130, 0, 3, 3, 3, statuses={422: 1, 503: 2}),
    ]
    measured = Measured().with_parts(parts, 130 * SECOND)
    assert measured.since == 50 * SECOND
    first, second = measured.periods(0, 200 * SECOND, 60 * SECOND)
    assert first == Served(60 * SECOND, 10, 0, 0, (0.005, 0.009, pytest.approx(0.0099)))
    assert (second.since, second.answers, second.failed, second.refused) == (120 * SECOND, 10, 2, 1)
    assert second.seconds[0] == pytest.approx(0.055)
    assert measured.periods(0, 110 * SECOND, 60 * SECOND) == [first]
    assert measured.periods(120 * SECOND, 200 * SECOND, 60 * SECOND) == [second]


def test_seven_days_of_answers_are_all_counted_and_few_parts_are_kept():
    measured, now = Measured(), 0
    for now in range(0, 7 * DAY, 180 * SECOND):
        measured = measured.with_parts([part(now / SECOND, 1, 2, 3, 3)], now)
    assert 150 < len(measured.parts) < 310
    assert sum(found.answers for found in measured.periods(0, now + 1, 10_800 * SECOND)) == 3 * 7 * 480
    hour = measured.periods(now - 3600 * SECOND, now + 1, 60 * SECOND)
    assert [found.answers for found in hour] == [3] * 21
    assert measured.with_parts([], now + DAY).since >= DAY // 2


def test_it_comes_back_from_its_file(tmp_path):
    path = tmp_path / "latency.json"
    assert served.read(path) == Measured()
    measured = Measured().with_parts([part(50), part(70, 1, 2, 3, 4)], 70 * SECOND)
    served.write(path, measured)
    assert served.read(path) == measured
    for content in ("", '{"form": 2}', '{"parts": [{"time": 1}]}'):
        path.write_text(content)
        with pytest.raises(MeasuredError, match=r"latency\.json: not the service's .*; remove it"):
            served.read(path)
