"""The limits a model has to keep, and the verdict on one."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from digits.errors import PipelineError


@dataclasses.dataclass(frozen=True)
class Limit:
    """What one metric must be: `above` and `below` are strict, `at_least` and `at_most` include the limit itself."""

    above: float | None = None
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        bounds = [bound for bound in vars(self).values() if bound is not None]
        if not bounds:
            raise ValueError("give at least one of above, below, at_least, at_most")
        if not all(math.isfinite(bound) for bound in bounds):
            raise ValueError("a limit must be a finite number")


@dataclasses.dataclass(frozen=True)
class CheckParams:
    """Section `check`: limits by the name of the metric in results/evaluate/metrics.json."""

    limits: dict[str, Limit]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One limit against the value it was compared with.

    `margin` is the distance to the limit in the metric's unit: negative where the limit is violated, and zero on a
    strict limit is a violation.
    """

    metric: str
    relation: str
    limit: float
    value: float
    margin: float
    passed: bool

    def __str__(self) -> str:
        relation = self.relation.replace("_", " ")
        state = "ok" if self.passed else "VIOLATED"
        return f"{self.metric} = {self.value:g}, must be {relation} {self.limit:g}: {state} (margin {self.margin:+g})"


class MetricError(PipelineError):
    """A limit names a metric that evaluate did not write, or one that is no number."""


def judge(metrics: Mapping[str, Any], limits: Mapping[str, Limit]) -> list[Finding]:
    """Compare metrics with their limits.

    Raises:
        MetricError: a limit has no number to be compared with: silence must not pass for success.
    """
    findings = []
    for name, limit in limits.items():
        value = metrics.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            known = ", ".join(key for key, item in metrics.items() if isinstance(item, int | float))
            raise MetricError(f"check.limits.{name}: no such metric; evaluate wrote {known}")
        for relation, bound in vars(limit).items():
            if bound is not None:
                findings.append(_compare(name, relation, bound, value))
    return findings


def _compare(name: str, relation: str, bound: float, value: float) -> Finding:
    margin = value - bound if relation in ("above", "at_least") else bound - value
    strict = relation in ("above", "below")
    passed = math.isfinite(value) and (margin > 0 if strict else margin >= 0)
    return Finding(name, relation, bound, value, float(f"{margin:.6g}"), passed)
