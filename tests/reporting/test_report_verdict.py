"""What the report says of limits, and of whether what is committed is current and fit to be shared."""

import math
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from digits import errors
from reporting import lockfile, report, repro, revisions, verify
from tests.reporting import history
from tests.reporting.github import GITHUB, cells
from tests.reporting.history import METRICS, PARAMS, altered, limit

pytestmark = pytest.mark.usefixtures("repository")


def block(text):
    """The one block of code that is no chart."""
    (content,) = [token.content for token in GITHUB.parse(text) if token.type == "fence" and token.info != "mermaid"]
    return content.rstrip()


def test_violated_limits_are_reported_and_do_not_fail(monkeypatch, capsys):
    limits = [limit(value=0.98), limit("parameters", "below", limit=1000, value=1142, margin=-142, passed=False)]
    history.results(limits=limits)
    monkeypatch.setattr(sys, "argv", ["report", "--base", "base"])
    errors.run(report.main)
    text = Path("report.md").read_text()

    assert capsys.readouterr().out == "report against 'base': report.md\n"
    assert text.startswith("## ❌ 1 of 2 limits violated: `parameters`\n")
    assert ("❌ parameters", "1,142", "below 1,000", "-142") in cells(text)
    assert "failed: `dvc.lock` keeps nothing of a failed stage" in text


def test_a_verdict_on_other_figures_is_called_so():
    history.results(limits=[limit(value=0.97)])

    assert "⚠️ These are not the figures above: `check` has not run since they changed." in report.report("base")


def test_stale_and_not_recomputed(monkeypatch):
    monkeypatch.setattr(lockfile, "waiting", lambda: ["train", "check"])
    text = report.report("base")

    assert text.startswith("## ⚠️ Out of date: run `dvc repro` first\n")
    assert "**`dvc.lock` is stale and was not recomputed**: `train`, `check` would run" in text


def test_stale_and_recomputed():
    history.write("params.yaml", yaml.safe_dump(altered(PARAMS, train={"learning_rate": 0.1})))
    history.commit()
    history.results(altered(PARAMS, train={"learning_rate": 0.1}))
    text = report.report("base")

    assert "**`dvc.lock` as committed is stale; recomputed here**: `train`, `evaluate`. The model was trained" in text
    assert ("train", "train.learning_rate 0.2 → 0.1", "ran: train.learning_rate 0.2 → 0.1") in cells(text)


JUDGED = altered(PARAMS, check={"limits": {"accuracy": {"above": 0.99}}})
VIOLATED = limit(limit=0.99, margin=-0.01, passed=False)


def test_a_limit_that_was_violated_and_is_kept_now_waits_for_check(monkeypatch):
    monkeypatch.setattr(lockfile, "waiting", lambda: ["check"])
    history.results(JUDGED, limits=[VIOLATED])
    refused = report.report("base")
    history.write("params.yaml", yaml.safe_dump(altered(PARAMS, check={"limits": {"accuracy": {"above": "9e-1"}}})))
    text = report.report("base")

    assert refused.startswith("## ❌ 1 of 1 limits violated: `accuracy`\n")
    assert "These are not" not in refused
    assert text.startswith("## ⚠️ Out of date: run `dvc repro` first\n")
    assert "**`dvc.lock` is stale and was not recomputed**: `check` would run" in text
    assert "⚠️ These are not the limits of `params.yaml`: `check` has not run since they changed." in text
    assert "failed" not in text


def test_figures_that_were_refused_and_are_others_now_wait_for_check(monkeypatch):
    monkeypatch.setattr(lockfile, "waiting", lambda: ["check"])
    history.results(JUDGED, altered(METRICS, accuracy=0.995), [VIOLATED])

    assert "**`dvc.lock` is stale and was not recomputed**: `check` would run" in report.report("base")


@pytest.mark.parametrize("value", [math.nan, 1e-5])
def test_a_limit_of_any_value_is_still_the_same(monkeypatch, value):
    monkeypatch.setattr(lockfile, "waiting", lambda: ["check"])
    params = altered(PARAMS, check={"limits": {"accuracy": {"at_least": "1e-05", "below": None}}})
    refused = limit(relation="at_least", limit=1e-5, value=value, passed=False)
    history.results(params, altered(METRICS, accuracy=value), [refused])

    assert report.report("base").startswith("## ❌ 1 of 1 limits violated: `accuracy`\n")


def test_what_really_ran_is_reported(monkeypatch):
    restored = "Stage 'train' is cached - skipping run, checking out outputs\n"
    history.write("ran.txt", f"{restored}Running stage 'evaluate':\n> x\n")
    history.write("said.txt", verify.stale(["evaluate"]))
    monkeypatch.setattr(sys, "argv", ["report", "--base", "base", "--ran", "ran.txt", "--said", "said.txt"])
    errors.run(report.main)
    text = Path("report.md").read_text()

    assert "names could be restored; run again here, with the same results**: `evaluate`. Nothing was trained." in text
    assert "**As committed, this is not fit to be shared.** `make verify` says:" in text
    assert block(text) == verify.stale(["evaluate"])
    assert ("evaluate", "\N{EN DASH}", "ran: the same inputs, the same result") in cells(text)
    assert "<summary>Stages that differ or ran: <code>evaluate</code></summary>" in text
    assert text.count("dvc push") == 1


def test_nothing_is_said_of_what_is_fit():
    text = report.report("base", did=repro.Repro([], [], []), said=f"{verify.FIT}\n")

    assert "`dvc.lock` is current: nothing had to be trained or run" in text
    assert "fit to be" not in text


@pytest.mark.parametrize("missing", ["", "not in the DVC remote: a; mend it with:\n  dvc push"])
def test_a_failed_check_alone_leaves_nothing_to_mend(monkeypatch, missing):
    monkeypatch.setattr(lockfile, "waiting", lambda: ["check"])
    history.results(limits=[limit(passed=False)])
    did = repro.Repro(["check"], [], ["check"])
    text = report.report("base", did=did, said=f"{verify.stale(['check'])}\n{missing}")

    assert "holds nothing of `check`, which failed. Nothing was trained." in text
    assert ("not fit to be shared.** Once the limits are kept, its commands mend that." in text) == bool(missing)
    assert (block(text) if missing else "") == missing
    assert text.startswith("## ❌ 1 of 1 limits violated: `accuracy`\n")


def test_a_check_that_failed_without_a_verdict():
    Path(revisions.VERDICT).unlink()
    text = report.report("base", did=repro.Repro(["check"], [], ["check"]), said="")

    assert text.startswith("## ❌ No verdict: `check` failed\n")


def test_a_stage_that_failed_comes_before_all_that_was_found_earlier(monkeypatch):
    monkeypatch.setattr(lockfile, "waiting", lambda: ["train"])
    text = report.report("base", "", repro.Repro(["train"], [], ["train"]), verify.stale(["train"]))

    assert text.startswith("## ❌ `train` failed\n")
    assert "❌ **`train` failed here**, so that nothing after it ran" in text
    assert ("train", "\N{EN DASH}", "failed: dvc.lock keeps nothing of a failed stage") in cells(text)
    assert "Pictures: `results/evaluate/worst_mistakes.png`" in text  # there is no artifact


def test_where_dvc_can_t_tell_nothing_is_called_good(monkeypatch):
    monkeypatch.setattr(lockfile, "waiting", lambda: None)

    assert report.report("base").startswith("## ⚠️ DVC could not say whether this is up to date\n")


def test_before_anything_has_run():
    for path in ("results", "dvc.lock", "dvc.yaml", "params.yaml"):
        shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()
    text = report.report("base")

    assert text.startswith("## ⚠️ No verdict: `check` has not run\n")
    assert "**There are no metrics to report**" in text
    assert "**There is no `dvc.lock`**" in text
