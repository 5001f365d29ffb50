import numpy as np
import pytest
from scipy import stats

from monitoring.performance import accuracy


@pytest.mark.parametrize("errors", [0, 1, 6, 20, 200])
def test_accuracy_s_p_value_is_the_binomial_tail(errors):
    truths, wrong = np.arange(200) % 10, np.arange(200) < errors
    result = accuracy(truths, wrong, 0.97)
    assert result.p_value == pytest.approx(stats.binomtest(errors, 200, 0.03, alternative="greater").pvalue)
    assert (result.effect, result.statistic, result.n) == (1 - errors / 200, errors, 200)


def test_class_with_the_most_errors_is_named_first():
    truths = np.arange(200) % 10
    result = accuracy(truths, (truths == 4) & (np.arange(200) < 100), 0.97, images=[str(n) for n in range(20)])
    assert result.features[0].name == "class 4"
    assert len(result.images) == 10
