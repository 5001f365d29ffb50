import contextlib
import math
from pathlib import Path

import pytest

from delivery.metrics import Answered, Metrics
from monitoring import latency, served
from monitoring.latency import Latency
from monitoring.served import Measured

SECOND = 1_000_000


def answered(*counts: int) -> Answered:
    return Answered(dict(zip((0.01, 0.1, 1.0, math.inf), counts, strict=True)), {200: counts[-1]})


@pytest.fixture
def made(tmp_path):
    with contextlib.ExitStack() as stack:

        def make(read, path=tmp_path / "latency.json"):
            return stack.enter_context(contextlib.closing(Latency(read, path)))

        yield make


def counting(*figures: Answered):
    """What reads these figures, one after the other."""
    return iter(figures).__next__


def answers(measured: Measured) -> list[tuple[int, int]]:
    """By seconds, how many."""
    return [(one.since // SECOND, one.answers) for one in measured.periods(0, 10**17, SECOND)]


def test_samples_tell_of_the_time_between_them(made):
    series = made(counting(Answered({}, {}), answered(5, 5, 5, 5), answered(5, 7, 9, 9)))
    assert series.measured.since is None
    for second in (60, 120, 180):
        series.sample(second * SECOND)
    assert (series.measured.since, answers(series.measured)) == (60 * SECOND, [(120, 5), (180, 4)])
    assert series.measured.parts[-1].within == {0.01: 0, 0.1: 2, 1.0: 4, math.inf: 4}


def test_a_service_that_is_started_anew_goes_on_from_what_is_in_the_file(made, tmp_path):
    path = tmp_path / "logs/latency.json"
    with Latency(counting(*[answered(5, 5, 5, 5)] * 9), path, seconds=1000):
        while not path.exists():
            pass
    told = answers(served.read(path))
    assert [count for _, count in told] == [5]
    again = made(counting(answered(0, 0, 0, 0), answered(7, 7, 7, 7)), path)
    for second in (told[0][0] + 60, told[0][0] + 120):
        again.sample(second * SECOND)
    assert answers(again.measured) == [*told, (told[0][0] + 120, 7)]
    assert served.read(path) == again.measured


def test_of_two_services_one_writes_and_the_other_goes_on_when_that_ends(made, tmp_path):
    path = tmp_path / "latency.json"
    first, second = (made(counting(*[answered(count, count, count, count)] * 9), path) for count in (5, 7))
    with first:
        while not path.exists():
            pass
        second.sample(latency.now())
        assert [count for _, count in answers(served.read(path))] == [5]
    second.sample(latency.now())
    assert sum(count for _, count in answers(served.read(path))) == 12


def test_after_a_clock_was_set_back_the_future_is_forgotten(made):
    series = made(counting(*(answered(n, n, n, n) for n in range(5, 10))))
    for second in (120, 180, 60):
        series.sample(second * SECOND)
    assert answers(series.measured) == [(60, 1)]


def test_what_can_not_be_kept_is_told_once_and_known_all_the_same(made, tmp_path, capsys):
    path = tmp_path / "latency.json"
    path.write_text("of another program")
    series = made(counting(*(answered(n, n, n, n) for n in range(5, 10))), path)
    for second in (60, 120):
        series.sample(second * SECOND)
    assert capsys.readouterr().err.count("error: latency is not kept: ") == 1
    assert (len(answers(series.measured)), path.read_text()) == (2, "of another program")
    path.unlink()
    series.sample(180 * SECOND)
    assert answers(served.read(path)) == [(60, 5), (120, 1), (180, 1)]
    nowhere = made(counting(answered(1, 1, 1, 1)), Path("/dev/null/latency.json"))
    nowhere.sample(SECOND)
    assert "latency is not kept: [Errno" in capsys.readouterr().err
    assert answers(nowhere.measured) == [(1, 1)]


def test_a_service_s_own_figures_are_taken_as_long_as_it_runs(monkeypatch, tmp_path):
    metrics, times = Metrics(), iter(range(10**9))
    monkeypatch.setattr(latency, "now", lambda: next(times) * SECOND)
    path = tmp_path / "latency.json"
    with Latency(lambda: metrics.answered("/v1/predict"), path, seconds=0.01) as series:
        while series.measured.since is None:
            pass
        for _ in range(20):
            metrics.request("POST", "/v1/predict", 200, 0.02)
        while not (found := series.measured.periods(0, 10**15, 10**14)):
            pass
        assert 0.01 < found[0].seconds[0] <= 0.025
        metrics.request("POST", "/v1/predict", 200, 0.02)
    assert not series._thread.is_alive()
    assert sum(count for _, count in answers(served.read(path))) == 21  # those of the end, too
