import math

import pytest

from delivery.metrics import Answered, Metrics
from monitoring import latency
from monitoring.latency import Latency, Served, quantile

SECOND = 1_000_000


def answered(*counts: int, statuses: dict[int, int] | None = None) -> Answered:
    return Answered(dict(zip((0.01, 0.1, 1.0, math.inf), counts, strict=True)), statuses or {200: counts[-1]})


@pytest.mark.parametrize(("share", "seconds"), [(0.25, 0.005), (0.5, 0.01), (0.7, 0.055), (0.95, 0.55), (1.0, 1.0)])
def test_quantiles_are_interpolated_within_their_bucket(share, seconds):
    assert quantile({0.01: 50, 0.1: 90, 1.0: 100, math.inf: 100}, share) == pytest.approx(seconds)
    assert quantile({0.01: 0, 0.1: 100, 1.0: 100, math.inf: 100}, share) == pytest.approx(0.01 + 0.09 * share)


def test_what_is_slower_than_the_last_bound_is_told_as_that():
    assert quantile({0.01: 1, math.inf: 10}, 0.99) == 0.01
    assert quantile({math.inf: 10}, 0.5) == 0.0


def test_periods_tell_of_the_time_between_samples():
    figures = iter(
        [
            answered(5, 5, 5, 5),
            answered(5, 5, 5, 5),  # nothing asked
            answered(15, 15, 15, 15),
            answered(15, 25, 25, 25, statuses={200: 22, 422: 1, 503: 2}),
        ]
    )
    series = Latency(lambda: next(figures))
    assert (series.since, series.periods(0, 10**9, 60 * SECOND)) == (None, [])
    for second in (50, 70, 100, 130):
        series.sample(second * SECOND)
    assert series.since == 50 * SECOND
    first, second = series.periods(0, 200 * SECOND, 60 * SECOND)
    assert first == Served(60 * SECOND, 10, 0, 0, (0.005, 0.009, pytest.approx(0.0099)))
    assert (second.since, second.answers, second.failed, second.refused) == (120 * SECOND, 10, 2, 1)
    assert second.seconds[0] == pytest.approx(0.055)
    assert series.periods(0, 110 * SECOND, 60 * SECOND) == [first]
    assert series.periods(120 * SECOND, 200 * SECOND, 60 * SECOND) == [second]


def test_it_keeps_no_more_than_it_may_and_a_clock_set_back_begins_anew():
    series = Latency(lambda: answered(1, 1, 1, 1), kept=3)
    for second in range(10):
        series.sample(second * SECOND)
    assert series.since == 7 * SECOND
    series.sample(2 * SECOND)
    assert series.since == 2 * SECOND


def test_a_service_s_own_figures_are_taken_as_long_as_it_runs(monkeypatch):
    metrics, times = Metrics(), iter(range(10**9))
    monkeypatch.setattr(latency, "now", lambda: next(times) * SECOND)
    with Latency(lambda: metrics.answered("/v1/predict"), seconds=0.01) as series:
        while series.since is None:
            pass
        for _ in range(20):
            metrics.request("POST", "/v1/predict", 200, 0.02)
        while not (found := series.periods(0, 10**15, 10**14)):
            pass
        assert (found[0].answers, found[0].failed) == (20, 0)
        assert 0.01 < found[0].seconds[0] <= 0.025
    assert not series._thread.is_alive()
