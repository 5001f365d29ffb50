import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits.significance import loss_test, mcnemar, sign_test


def test_counts_who_lost_and_who_gained():
    first = np.array([1, 1, 1, 0, 0, 1], dtype=bool)
    second = np.array([1, 0, 0, 1, 0, 1], dtype=bool)

    assert mcnemar(first, second)[:2] == (2, 1)
    assert mcnemar(second, first)[:2] == (1, 2)


@pytest.mark.parametrize(
    ("lost", "gained", "p_value"),
    [(0, 0, 1.0), (1, 1, 1.0), (3, 3, 1.0), (0, 1, 1.0), (0, 5, 2 / 32), (10, 0, 2 / 1024), (1, 9, 22 / 1024)],
)
def test_known_probabilities(lost, gained, p_value):
    assert sign_test(lost, gained) == pytest.approx(p_value)


@given(st.integers(0, 120), st.integers(0, 120))
def test_is_the_binomial_tail(lost, gained):
    tosses = lost + gained
    tail = sum(math.comb(tosses, heads) for heads in range(min(lost, gained) + 1))

    assert sign_test(lost, gained) == pytest.approx(min(1.0, 2 * tail / 2**tosses))
    assert sign_test(lost, gained) == sign_test(gained, lost)


@given(st.integers(0, 120), st.integers(0, 120))
def test_a_loss_is_the_tail_on_one_side(lost, gained):
    tosses = lost + gained
    tail = sum(math.comb(tosses, heads) for heads in range(gained + 1))
    assert loss_test(lost, gained) == pytest.approx(tail / 2**tosses)


def test_many_disagreements_agree_with_the_normal_approximation():
    lost, gained = 5100, 4900
    z = (abs(lost - gained) - 1) / math.sqrt(lost + gained)

    assert sign_test(lost, gained) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)
    assert sign_test(0, 10_000) == 0


def test_other_images_are_refused():
    with pytest.raises(ValueError, match="not the same images"):
        mcnemar(np.ones(3, dtype=bool), np.ones(4, dtype=bool))
