import numpy as np
import pytest
from scipy import stats

from monitoring.label_shift import in_excess, label_shift

EVEN = np.full(10, 500)


def test_statistic_and_p_value_are_scipy_s():
    generator = np.random.default_rng(0)
    for _ in range(20):
        reference, window = generator.multinomial(5000, np.ones(10) / 10), generator.multinomial(1000, np.ones(10) / 10)
        expected = stats.chi2_contingency([reference, window], correction=False)
        result = label_shift(reference, window)
        assert (result.statistic, result.p_value) == pytest.approx((expected.statistic, expected.pvalue))
        assert result.n == 1000


def test_class_that_is_missing_is_named_and_so_is_its_share():
    window = np.array([100] * 9 + [0])
    result = label_shift(EVEN, window)
    assert result.p_value < 1e-10
    assert result.features[0].name == "class 9"
    assert result.features[0].statistic < -8
    assert result.effect == pytest.approx(0.1)
    assert in_excess(result) in range(9)


def test_class_in_excess_is_the_one_that_grew_most():
    assert in_excess(label_shift(EVEN, np.array([80, 80, 300, 80, 80, 80, 80, 80, 80, 60]))) == 2
    assert in_excess(label_shift(EVEN, np.full(10, 100))) is None


def test_class_that_nobody_predicts_counts_for_nothing():
    reference, window = np.array([50, 50, 0]), np.array([60, 40, 0])
    assert label_shift(reference, window).p_value == label_shift(reference[:2], window[:2]).p_value
    assert label_shift(np.array([5, 0]), np.array([3, 0])).p_value == 1


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ValueError, match="no predictions"):
        label_shift(EVEN, np.zeros(10, int))
