import itertools
import math

import numpy as np
import pytest
from scipy import stats

from scaling.paired import ENOUGH, compare


def accuracies(*errors: int) -> list[float]:
    """Of 5,000 images."""
    return [round(1 - count / 5000, 6) for count in errors]


@pytest.fixture
def pair():
    """Twelve seeds of two classifiers, whose numbers of errors differ by 1.5 on average."""
    generator = np.random.default_rng(5)
    first = generator.poisson(40, 12)
    return accuracies(*first), accuracies(*(first + generator.integers(-3, 7, 12)))


def test_the_p_value_is_that_of_all_sign_flips(pair):
    errors = [np.rint((1 - np.array(side)) * 5000).astype(int) for side in pair]
    differences = errors[1] - errors[0]
    flipped = np.array(list(itertools.product((1, -1), repeat=12))) @ differences
    found = compare(*pair)
    assert found.p_value == pytest.approx((abs(flipped) >= abs(differences.sum())).mean(), abs=1e-12)
    assert found.mean == pytest.approx(differences.mean() / 5000)
    assert found.pairs == 12


def test_the_p_value_is_scipy_s():
    """On whole numbers; of shares some that are equal differ in their last bits, which it counts as less."""
    generator = np.random.default_rng(3)
    first, second = generator.integers(0, 9, (2, 11))
    exact = stats.permutation_test(
        (first, second), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=9999
    )
    assert compare(first.tolist(), second.tolist()).p_value == pytest.approx(exact.pvalue, abs=1e-12)


def test_the_interval_s_ends_are_means_of_subsets(pair):
    differences = np.array(pair[0]) - np.array(pair[1])
    subsets = itertools.chain.from_iterable(itertools.combinations(differences, size) for size in range(1, 13))
    means = sorted(float(np.mean(subset)) for subset in subsets)
    outside = math.floor(0.025 * 2**12)
    found = compare(*pair)
    assert found.low == pytest.approx(means[outside - 1])
    assert found.high == pytest.approx(means[-outside])


@pytest.mark.parametrize("seed", range(20))
def test_interval_and_p_value_say_the_same(seed):
    generator = np.random.default_rng(seed)
    found = compare(accuracies(*generator.poisson(40, 9)), accuracies(*generator.poisson(44, 9)))
    assert (found.p_value <= 0.05) == (found.low > 0 or found.high < 0)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        found = compare(accuracies(*generator.poisson(60, 10)), accuracies(*generator.poisson(50, 10)))
        held += found.low <= -10 / 5000 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_the_other_way_round_it_is_the_opposite(pair):
    there, back = compare(*pair), compare(*reversed(pair))
    assert (back.mean, back.low, back.high) == pytest.approx((-there.mean, -there.high, -there.low))
    assert back.p_value == there.p_value


def test_what_is_the_same_for_each_seed_is_no_difference():
    same = accuracies(40, 41, 42, 43, 44, 45)
    assert compare(same, same) == (0.0, 0.0, 0.0, 1.0, 6)


def test_six_pairs_are_the_fewest_that_can_show_anything():
    better, worse = accuracies(*range(10, 10 + ENOUGH)), accuracies(*range(50, 50 + ENOUGH))
    assert compare(better, worse).p_value == 2 / 2**ENOUGH <= 0.05
    fewer = compare(better[1:], worse[1:])
    assert fewer.p_value > 0.05
    assert (fewer.low, fewer.high) == (-math.inf, math.inf)


def test_a_hundred_seeds_are_no_problem():
    generator = np.random.default_rng(1)
    found = compare(accuracies(*generator.poisson(40, 100)), accuracies(*generator.poisson(50, 100)))
    assert found.p_value < 1e-6
    assert 0 < found.low < found.mean < found.high


@pytest.mark.parametrize(("first", "second"), [([0.9], [0.9, 0.8]), ([], [])])
def test_other_numbers_of_values_are_refused(first, second):
    with pytest.raises(ValueError, match="not the same seeds"):
        compare(first, second)


def test_shares_of_odd_numbers_of_images_are_told_apart_less_finely_where_memory_ends():
    first = [round(1 - count / 30_000, 6) for count in (301, 299, 310, 290, 305, 300, 297)]
    second = [round(1 - count / 30_000, 6) for count in (25_001, 24_000, 26_113, 25_557, 24_411, 25_000, 307)]
    found = compare(first, second)
    assert found.mean == pytest.approx(np.mean(np.array(first) - np.array(second)), abs=1e-5)
    assert found.p_value == 2 / 2**7
