import math

import numpy as np
import pytest

from monitoring.concept_drift import Cusum

FRESH = Cusum(0.015, 0.05, 8.0)


def after(pattern: str) -> Cusum:
    """After labels: x is an error, . is none."""
    return FRESH.after_all((sign == "x" for sign in pattern), (str(place) for place in range(len(pattern))))


def test_statistic_is_the_largest_log_likelihood_ratio_of_any_stretch_up_to_now():
    wrong = np.random.default_rng(0).random(300) < 0.03
    steps = np.where(wrong, math.log(0.05 / 0.015), math.log(0.95 / 0.985))
    sums = np.concatenate([[0.0], np.cumsum(steps)])
    state = FRESH
    for place, error in enumerate(wrong, start=1):
        state = state.after(bool(error))
        assert state.statistic == pytest.approx(sums[place] - sums[: place + 1].min())


def test_right_answers_leave_nothing_to_remember():
    assert after("..........") == FRESH
    assert after("x" + "." * 40) == FRESH


def test_errors_add_up_and_are_named_newest_first():
    state = after("..x.x")
    assert (state.labels, state.errors, state.images) == (3, 2, ("4", "2"))
    result = state.result(labels=5)
    assert (result.n, result.p_value, result.effect) == (5, None, pytest.approx(2 / 3))
    assert not state.alarmed


def test_threshold_is_reached_and_not_passed():
    assert not after("xxxxxx").alarmed
    assert after("xxxxxxx").alarmed
    assert after("x" * 50).statistic == 8
    assert len(after("x" * 50).images) == 10


def test_once_mended_it_is_forgotten_in_time():
    state = after("x" * 500 + "." * 221)
    assert state.statistic == pytest.approx(8 + 221 * math.log(0.95 / 0.985))
    assert state.after(False) == FRESH
