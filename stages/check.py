"""Check: hold the metrics against the limits in params.yaml.

Verdict and model card are written first, and only then a violated limit fails the stage, so that a report can show why.

Run by `dvc repro`, or alone: python -m stages.check
"""

import dataclasses
from pathlib import Path

import yaml

from digits.card import render
from digits.errors import PipelineError, run
from digits.limits import CheckParams, judge
from digits.params import PIPELINE, load
from digits.storage import read_json, write_json, write_text

METRICS = Path("results/evaluate/metrics.json")
STATISTICS = Path("data/prepared/statistics.json")
VERDICT = Path("results/check/verdict.json")
CARD = Path("results/check/model_card.md")
PARAMS = Path("params.yaml")


class LimitsViolatedError(PipelineError):
    """The model does not keep its limits."""


def main() -> None:
    """Run the stage."""
    limits = load(CheckParams, "check").limits
    metrics = read_json(METRICS)
    findings = judge(metrics, limits)
    violated = [finding for finding in findings if not finding.passed]
    write_json(VERDICT, {"passed": not violated, "limits": [dataclasses.asdict(finding) for finding in findings]})
    params = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    made_by = {name: params[name] for name in PIPELINE if name in params}  # not what happens to it later
    write_text(CARD, render(metrics, findings, read_json(STATISTICS), made_by))
    for finding in findings:
        print(finding)
    if violated:
        lines = "\n".join(f"  {finding}" for finding in violated)
        raise LimitsViolatedError(f"{len(violated)} of {len(findings)} limits violated (see {VERDICT}):\n{lines}")


if __name__ == "__main__":
    run(main)
