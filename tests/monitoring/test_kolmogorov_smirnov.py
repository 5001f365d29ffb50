import numpy as np
import pytest
from scipy import stats

from monitoring.kolmogorov_smirnov import distances, p_values


def both(reference: np.ndarray, window: np.ndarray) -> tuple[float, int]:
    found = distances(np.sort(reference)[None], window[None])
    return float(found.statistics[0]), int(found.signs[0])


@pytest.mark.parametrize("levels", [1, 2, 3, 10, 10**6])  # from nothing but ties to none
@pytest.mark.parametrize("n", [1, 20, 101])
def test_distances_are_scipy_s_with_ties_too(levels, n):
    generator = np.random.default_rng(levels + n)
    for _ in range(20):
        reference = generator.integers(0, levels, 500).astype(np.float32)
        window = np.minimum(generator.integers(0, levels, n), generator.integers(0, levels, n)).astype(np.float32)
        expected = stats.ks_2samp(window, reference, method="asymp")
        distance, sign = both(reference, window)
        assert distance == pytest.approx(expected.statistic, abs=1e-12)
        if distance > 0.01:
            assert sign == -expected.statistic_sign


def test_many_features_at_once_are_each_as_alone():
    generator = np.random.default_rng(0)
    reference, window = np.sort(generator.random((18, 300))), generator.random((18, 40))
    found = distances(reference, window)
    for row in range(18):
        assert (found.statistics[row], found.signs[row]) == both(reference[row], window[row])


def test_saturated_values_that_are_as_frequent_in_both_are_no_distance():
    reference, window = np.repeat([0.0, 1.0], [900, 100]), np.repeat([1.0, 0.0], [10, 90])
    assert both(reference, window)[0] == 0


@pytest.mark.parametrize("n", [50, 100, 200, 500, 1000])
def test_p_values_are_near_the_exact_ones(n):
    reference = np.arange(5000.0)
    for wanted in (0.5, 0.05, 0.01, 1e-3, 5e-5, 1e-6):
        place = int(np.searchsorted(-p_values(np.arange(5001) / 5000, 5000, n), -wanted))
        # A window that lies so far below the reference, and otherwise like it.
        window = np.maximum((np.arange(n) + 0.5) * 5000 / n - place, -1)
        exact = stats.ks_2samp(window, reference, method="exact")
        ours = p_values(np.array([exact.statistic]), 5000, n)[0]
        assert 0.93 * exact.pvalue < ours < 1.16 * exact.pvalue, wanted


def test_no_distance_is_sure_and_the_largest_is_impossible():
    assert p_values(np.array([0.0, 1.0]), 5000, 100) == pytest.approx([1, 0], abs=1e-50)


def test_with_ties_the_level_is_kept():
    # Softmax outputs that are nearly all saturated: a window is flagged less often than the level says, never more.
    generator = np.random.default_rng(3)
    reference = np.sort((generator.random((200, 1000)) < 0.05).astype(np.float32))
    window = (generator.random((200, 100)) < 0.05).astype(np.float32)
    flagged = p_values(distances(reference, window).statistics, 1000, 100) <= 0.05
    assert flagged.mean() <= 0.05
