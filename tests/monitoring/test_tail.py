import numpy as np
import pytest
from scipy import stats

from monitoring.tail import p_value, tail_count


def test_what_is_beyond_the_rank_is_counted():
    reference = np.arange(100.0)
    assert tail_count(reference, np.array([94.9, 95, 95.1, 200, -1]), rank=5) == 2


@pytest.mark.parametrize(("window", "reference", "rank"), [(100, 5000, 50), (1000, 5000, 50), (20, 30, 30), (1, 1, 1)])
def test_p_value_is_the_beta_binomial_tail(window, reference, rank):
    null = stats.betabinom(window, rank, reference - rank + 1)
    for count in range(min(window, 15) + 1):
        assert p_value(count, window, reference, rank) == pytest.approx(
            null.pmf(range(count, window + 1)).sum(), rel=1e-8
        )


def test_null_holds_whatever_the_distribution():
    generator = np.random.default_rng(0)
    values = generator.standard_cauchy((4000, 260))
    counts = [tail_count(np.sort(row[60:]), row[:60], rank=4) for row in values]
    for count in (1, 3, 6):
        assert np.mean(np.array(counts) >= count) == pytest.approx(p_value(count, 60, 200, 4), abs=0.03)


@pytest.mark.parametrize("rank", [0, 31])
def test_a_rank_outside_of_the_reference_is_refused(rank):
    with pytest.raises(ValueError, match=f"rank {rank} of 30 reference values"):
        p_value(1, 10, 30, rank)
