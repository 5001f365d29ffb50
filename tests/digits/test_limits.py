import math

import pytest

from digits.limits import CheckParams, Limit, MetricError, judge
from digits.params import ParamsError, parse


def verdict(value: float, **limit: float) -> bool:
    (finding,) = judge({"accuracy": value}, {"accuracy": Limit(**limit)})
    return finding.passed


@pytest.mark.parametrize("relation", ["above", "below"])
def test_value_at_a_strict_limit_violates_it(relation):
    assert not verdict(0.95, **{relation: 0.95})


@pytest.mark.parametrize("relation", ["at_least", "at_most"])
def test_value_at_an_inclusive_limit_keeps_it(relation):
    assert verdict(0.95, **{relation: 0.95})


@pytest.mark.parametrize("relation", ["above", "at_least"])
def test_lower_limits_are_kept_from_above_alone(relation):
    assert verdict(0.951, **{relation: 0.95})
    assert not verdict(0.949, **{relation: 0.95})


@pytest.mark.parametrize("relation", ["below", "at_most"])
def test_upper_limits_are_kept_from_below_alone(relation):
    assert verdict(0.949, **{relation: 0.95})
    assert not verdict(0.951, **{relation: 0.95})


@pytest.mark.parametrize("relation", ["above", "below", "at_least", "at_most"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_finite_number_keeps_no_limit(relation, value):
    assert not verdict(value, **{relation: 0.95})


def test_a_limit_of_zero_is_a_limit():
    assert not verdict(1, at_most=0)


def test_margin_is_the_signed_distance_to_the_limit():
    findings = judge(
        {"parameters": 22922, "accuracy": 0.94}, {"parameters": Limit(below=25000), "accuracy": Limit(above=0.95)}
    )
    assert [finding.margin for finding in findings] == [2078, -0.01]
    assert str(findings[0]) == "parameters = 22922, must be below 25000: ok (margin +2078)"
    assert str(findings[1]) == "accuracy = 0.94, must be above 0.95: VIOLATED (margin -0.01)"


def test_two_limits_on_one_metric_are_two_findings():
    findings = judge({"loss": 3}, {"loss": Limit(at_least=1, at_most=2)})
    assert [(finding.relation, finding.passed) for finding in findings] == [("at_least", True), ("at_most", False)]


@pytest.mark.parametrize("metrics", [{"loss": 1}, {"loss": 1, "acuracy": True}, {"loss": 1, "acuracy": {"low": 1}}])
def test_limit_on_a_metric_that_is_no_number_is_refused(metrics):
    with pytest.raises(MetricError, match=r"check.limits.acuracy: no such metric; evaluate wrote loss"):
        judge(metrics, {"acuracy": Limit(above=0.95)})


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({}, "check.limits.accuracy: give at least one of above, below, at_least, at_most"),
        ({"above": math.nan}, "check.limits.accuracy: a limit must be a finite number"),
        ({"below": math.inf}, "check.limits.accuracy: a limit must be a finite number"),
        ({"over": 1}, "check.limits.accuracy.over: unknown key; allowed: above, below, at_least, at_most"),
        ({"above": "high"}, "check.limits.accuracy.above: expected a number, found 'high'"),
        (0.95, "check.limits.accuracy: expected a mapping, found 0.95"),
    ],
)
def test_bad_limits_are_refused(limit, message):
    with pytest.raises(ParamsError, match=message):
        parse(CheckParams, {"limits": {"accuracy": limit}}, "check")


def test_no_limits_at_all_would_pass_everything_and_are_refused():
    with pytest.raises(
        ParamsError, match=r"check\.limits: expected a mapping of one or more, .* found an empty mapping"
    ):
        parse(CheckParams, {"limits": {}}, "check")
