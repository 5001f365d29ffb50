import pytest

from scaling.selection import best, pareto, thinned
from tests.scaling import lab


def rate(value: float) -> dict[str, object]:
    return {"train.learning_rate": value}


def sized(number: int, parameters: int, accuracy: float, **changes: object) -> dict[str, object]:
    return lab.record(f"{number:05}", parameters=parameters, validation_accuracy=accuracy, **changes)


def test_the_best_are_finished_and_in_their_order():
    trials = [
        lab.record("00000", rate(0.1), validation_accuracy=0.98),
        lab.record("00001", rate(0.2), validation_accuracy=0.99, parameters=700),
        lab.record("00002", rate(0.3), validation_accuracy=0.99, parameters=600),
        lab.record("00003", rate(0.4), validation_accuracy=0.999, state="stopped"),
        lab.record("00004", rate(0.5), validation_accuracy=None, parameters=None, state="failed", error="nan"),
        lab.record("00005", rate(0.6), validation_accuracy=0.99, parameters=600),
    ]
    assert [record["trial"] for record in best(trials, 9)] == ["00002", "00005", "00001", "00000"]
    assert [record["trial"] for record in best(trials, 2)] == ["00002", "00005"]


def test_the_same_settings_are_kept_once():
    trials = [lab.record("00000", rate(0.1)), lab.record("00001", rate(0.1)), lab.record("00002", rate(0.2))]
    assert [record["trial"] for record in best(trials, 2)] == ["00000", "00002"]


def test_on_the_frontier_is_who_is_not_beaten_by_one_as_small():
    trials = [
        sized(0, 900, 0.97),
        sized(1, 500, 0.96),
        sized(2, 500, 0.95),
        sized(3, 700, 0.96),  # as good as a smaller one
        sized(4, 800, 0.99, state="stopped"),
        sized(5, 300, 0.90),
        sized(6, 1000, 0.97),
    ]
    assert [record["trial"] for record in pareto(trials)] == ["00005", "00001", "00000"]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (1, [20_000]),  # the most accurate
        (2, [400, 20_000]),
        (3, [400, 3_000, 20_000]),
        (4, [400, 1_200, 3_000, 20_000]),
        (9, [400, 410, 420, 1_200, 3_000, 20_000]),
    ],
)
def test_a_frontier_is_thinned_to_what_is_spread_over_its_sizes(count, sizes):
    front = [sized(n, size, 0.9 + n / 100) for n, size in enumerate((400, 410, 420, 1_200, 3_000, 20_000))]
    assert [record["parameters"] for record in thinned(front, count)] == sizes


def test_of_no_trials_nothing_is_taken():
    assert thinned(pareto([sized(0, 500, 0.9, state="stopped")]), 3) == []
