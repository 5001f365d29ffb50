"""What a reviewer sees before unfolding anything: verdict, accuracy, what was changed, what it cost."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from digits.significance import Paired, mcnemar
from reporting.details import changed_params, percent
from reporting.markdown import block, code, difference, figure, listed, table
from reporting.predictions import Predictions
from reporting.revisions import EVALUATION, Snapshot, git, same

SIGNIFICANT = 0.05
KEY_FIGURES = {
    "errors": "wrong test images",
    "loss": "test loss",
    "parameters": "parameters",
    "onnx_bytes": "model file, bytes",
}

LIMITS = "check.limits."  # before the names of their params
RELATIONS = {"above": "above", "below": "below", "at_least": "at least", "at_most": "at most"}


def headline(head: Snapshot, *, stale: bool | None, failed: bool, broken: Sequence[str] = ()) -> str:
    """The verdict in one line, unless it is about an earlier state of the project, as it is where dvc.lock is stale.

    Args:
        head: what is judged.
        stale: dvc.lock is; None where DVC can't tell.
        failed: `check` failed.
        broken: stages that failed before `check`, so that nothing is to be judged.
    """
    if broken:
        return f"## ❌ {listed([code(name) for name in broken])} failed"
    found = head.verdict.get("limits") or []
    violated = [code(str(limit["metric"])) for limit in found if limit["passed"] is not True]
    if not found:
        return "## ❌ No verdict: `check` failed" if failed else "## ⚠️ No verdict: `check` has not run"
    if stale is None:
        return "## ⚠️ DVC could not say whether this is up to date"
    if stale:
        return "## ⚠️ Out of date: run `dvc repro` first"
    if violated:
        return f"## ❌ {len(violated)} of {len(found)} limits violated: {listed(violated)}"
    return f"## ✅ All {len(found)} limits kept" if len(found) > 1 else "## ✅ The limit is kept"


def accuracy(base: Snapshot, head: Snapshot, before: Predictions | None, after: Predictions | None) -> str:
    """The accuracy of both, and whether their difference is more than noise."""
    old, new = base.evaluation.get("accuracy"), head.evaluation.get("accuracy")
    low, high = head.evaluation.get("accuracy_95.low"), head.evaluation.get("accuracy_95.high")
    if not isinstance(new, int | float):
        return f"**There are no metrics to report**: `{EVALUATION}` is missing or has no accuracy. Run `dvc repro`."
    if not isinstance(old, int | float):
        return (
            f"**Test accuracy {percent(new)}** (95 % interval {percent(low)} to {percent(high)}). "
            f"**Nothing to compare with**: the base has no metrics."
        )
    change = f"Test accuracy {percent(old)} → {percent(new)}"
    if before is None or after is None:
        missing = " and ".join(name for name, answers in (("base", before), ("head", after)) if answers is None)
        return (
            f"**{change}.** Whether that is more than noise can't be told: the predictions of {missing} are neither in "
            f"the DVC cache nor in its remote (`dvc push` where they were made puts them there)."
        )
    if not np.array_equal(before.labels, after.labels):
        return f"**{change}**, but not on the same test images, so that the two can't be compared."
    if np.array_equal(before.predicted, after.predicted):
        return f"**{change}: the same answer to each of the {len(after.labels):,} test images.**"
    return judged(change, mcnemar(before.right, after.right), len(after.labels))


def judged(change: str, paired: Paired, images: int) -> str:
    """The change of the accuracy with its significance in plain words."""
    points = 100 * (paired.gained - paired.lost) / images
    chance = f"p {'< 0.001' if paired.p_value < 0.001 else f'= {paired.p_value:.2g}'}"
    counts = f"of {images:,} images {paired.gained:,} newly right, {paired.lost:,} newly wrong; McNemar test, {chance}"
    if paired.p_value >= SIGNIFICANT:
        return f"**{change}: {points:+.2f} points, within noise** ({counts})."
    direction = "better" if points > 0 else "worse"
    mark = "" if points > 0 else "⚠️ "  # limits that are kept must not hide it
    return f"{mark}**{change}: {direction} by {abs(points):.2f} points, more than noise** ({counts})."


def facts(base: Snapshot, head: Snapshot, state: str, refusal: str | None, behind: str | None) -> str:
    """What differs, whether dvc.lock is current and fit to be shared, and what can't be relied on."""
    rows = changed_params(base, head) if base.params else []
    texts = [f"{name} {old} → {new}" for name, old, new in rows]
    lines = [f"**Params:** {listed(texts) or 'none differ'}." if base.params else "**Params:** the base has none."]
    lines.append(f"**Pipeline:** {state}")
    if refusal:
        lines.append(refusal)
    for name, snapshot in (("base", base), ("head", head)):
        if snapshot.problems:
            files = listed([code(path) for path in snapshot.problems])
            lines.append(f"⚠️ Can't be read, and so is left out: {files} of the {name}.")
    if behind:
        lines.append(behind)
    return "\n".join(f"- {line}" for line in lines)


def refusal(said: str, *, failed: bool) -> str | None:
    """What `make verify` said of the commit before anything ran, with the commands that mend it."""
    if not said:
        return None
    later = " Once the limits are kept, its commands mend that." if failed else ""
    return f"⚠️ **As committed, this is not fit to be shared.**{later} `make verify` says:\n\n{block(said)}"


def ahead(commit: str, revision: str) -> str | None:
    """A warning where the base has gone on since this branch left it: then its changes are in the differences too."""
    count = git("rev-list", "--count", f"HEAD..{commit}")
    if not count or count == "0":
        return None
    commits = "1 commit" if count == "1" else f"{count} commits"
    return f"{code(revision)} has {commits} that this branch lacks: the differences include what they changed."


def key_figures(base: Snapshot, head: Snapshot, revision: str, commit: str) -> str:
    """The few figures that matter most, side by side."""
    old, new = base.evaluation, head.evaluation
    rows = []
    if "accuracy" in new:
        rows.append(["test accuracy", percent(old.get("accuracy")), percent(new["accuracy"]), _points(old, new)])
    rows += [
        [words, figure(old.get(key)), figure(new.get(key)), difference(old.get(key), new.get(key)) if old else ""]
        for key, words in KEY_FIGURES.items()
        if key in old or key in new
    ]
    name = git("rev-parse", "--abbrev-ref", "HEAD") or "HEAD"
    changed = " + uncommitted" if git("status", "--porcelain", "--untracked-files=no") else ""
    here = git("rev-parse", "--short", "HEAD")
    header = [
        "",
        f"base {code(revision, 40)} {commit[:7]}",
        f"head {code(name, 40) if name != 'HEAD' else ''} {here}{changed}",
        "difference",
    ]
    return table(header, rows) if rows else ""


def _points(old: dict[str, Any], new: dict[str, Any]) -> str:
    values = [old.get("accuracy"), new.get("accuracy")]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return ""
    return f"{100 * (values[1] - values[0]):+.2f} points" if values[0] != values[1] else "0"  # type: ignore[operator]


def limits(head: Snapshot) -> str | None:
    """One line a limit: what it is about, its value, what it has to be, and how far it is from that."""
    found = head.verdict.get("limits") or []
    rows = [
        [
            f"{'✅' if limit['passed'] is True else '❌'} {code(str(limit['metric']))}",
            figure(limit["value"]),
            f"{RELATIONS.get(limit['relation'], '?')} {figure(limit['limit'])}",
            figure(limit["margin"]),
        ]
        for limit in found
    ]
    if not rows:
        return None
    text = table(["limit", "value", "must be", "margin"], rows)
    if others := outdated(head):
        text += f"\n\n⚠️ These are not the {others}: `check` has not run since they changed."
    return text


def outdated(head: Snapshot) -> str | None:
    """What the verdict is not about any more: the figures, or the limits of params.yaml. None where it is of now."""
    found = head.verdict.get("limits") or []
    if not all(same(limit["value"], head.evaluation.get(limit["metric"])) for limit in found):
        return "figures above"
    judged = {f"{LIMITS}{limit['metric']}.{limit['relation']}": _number(limit["limit"]) for limit in found}
    wanted = {key: _number(value) for key, value in head.params.items() if key.startswith(LIMITS) and value is not None}
    return "limits of `params.yaml`" if wanted and wanted != judged else None


def _number(value: Any) -> Any:
    try:
        return float(value)  # of text, too: YAML reads 1e-05 as such, and the pipeline takes it for a number
    except (TypeError, ValueError):
        return value
