"""The folded parts of the report, each a comparison of base and head."""

import math
from typing import Any

import numpy as np

from reporting import mermaid
from reporting.lockfile import Change
from reporting.markdown import NONE, Detail, code, difference, figure, html_code, listed, pair, table
from reporting.predictions import Predictions
from reporting.revisions import Snapshot, same

CONFUSIONS = 8


def metrics(base: Snapshot, head: Snapshot) -> Detail | None:
    """Every metric of every file that dvc.yaml calls metrics."""
    parts = []
    for path in {**head.metrics, **base.metrics}:
        old, new = base.metrics.get(path, {}), head.metrics.get(path, {})
        rows = [
            [code(key), figure(old.get(key)), figure(new.get(key)), difference(old.get(key), new.get(key))]
            for key in {**new, **old}
        ]
        parts.append(f"{code(path)}\n\n{table(['metric', 'base', 'head', 'difference'], rows)}")
    return Detail("All metrics", "\n\n".join(parts)) if parts else None


def params(base: Snapshot, head: Snapshot) -> Detail | None:
    """Params that differ."""
    rows = changed_params(base, head)
    if not rows:
        return None
    return Detail("Params that differ", table(["param", "base", "head"], rows), f": {len(rows)}")


def changed_params(base: Snapshot, head: Snapshot) -> list[list[str]]:
    """Name, value of base and value of head, in Markdown, of each param that differs."""
    rows = []
    for key in {**head.params, **base.params}:
        old, new = base.params.get(key), head.params.get(key)
        if (key in base.params) != (key in head.params) or not same(old, new) or type(old) is not type(new):
            texts = pair(old, new)
            rows.append([code(key), texts[0] if key in base.params else NONE, texts[1] if key in head.params else NONE])
    return rows


def stages(differing: dict[str, Change], here: dict[str, str]) -> Detail | None:
    """Stages whose result is not the base's, and those of which something happened here since the commit."""
    rows = [
        [code(name), str(differing.get(name, NONE)), here.get(name, "as committed")] for name in {**differing, **here}
    ]
    header = ["stage", "what makes it differ from the base", "in this run"]
    if not here:
        header, rows = header[:2], [row[:2] for row in rows]
    title = "Stages that differ" if here.keys() <= differing.keys() else "Stages that differ or ran"
    # All columns to the left, since these are sentences.
    names = listed([html_code(name) for name in {**differing, **here}], 10)
    return Detail(title, table(header, rows).replace("---:", ":---"), f": {names}") if rows else None


def classes(base: Snapshot, head: Snapshot) -> Detail | None:
    """Recall of each class."""
    old, new = _recalls(base), _recalls(head)
    if not new:
        return None
    rows = [
        [code(name), percent(old.get(name)), percent(new.get(name)), _points(old.get(name), new.get(name))]
        for name in {**new, **old}
    ]
    falls = [(gap, name) for name in new if (gap := _gap(old.get(name), new[name])) < 0]
    worst = min(falls, default=None)
    gist = f" (largest fall: {worst[0]:.2f} points, {html_code(worst[1])})" if worst else ""
    return Detail("Recall of each class", table(["class", "base", "head", "difference in points"], rows), gist)


def _recalls(snapshot: Snapshot) -> dict[str, Any]:
    parts = {}
    for key, value in snapshot.evaluation.items():
        section, _, rest = key.partition(".")
        name, _, measure = rest.rpartition(".")
        if section == "per_class" and measure == "recall":
            parts[name] = value
    return parts


def percent(value: Any) -> str:
    """A share as per cent with two decimals."""
    if not isinstance(value, float | int):
        return NONE
    return f"{100 * value:.2f} %" if math.isfinite(value) else figure(value)


def _points(old: Any, new: Any) -> str:
    gap = _gap(old, new)
    return f"{gap:+.2f}" if gap and math.isfinite(gap) else difference(old, new)


def _gap(old: Any, new: Any) -> float:
    numbers = isinstance(old, int | float) and isinstance(new, int | float)
    return 100.0 * (new - old) if numbers else math.nan


def confusions(base: Predictions | None, head: Predictions | None) -> Detail | None:
    """Which wrong answers became more frequent."""
    if base is None or head is None:
        return None
    size = 1 + max(int(array.max()) for both in (base, head) for array in both)
    old, new = base.confusion(size), head.confusion(size)
    grown = new - old
    np.fill_diagonal(grown, 0)
    order = np.argsort(-grown, axis=None, kind="stable")[:CONFUSIONS]
    places = [(int(index) // size, int(index) % size) for index in order]
    rows = [
        [f"{true} taken for {taken}", str(old[true, taken]), str(new[true, taken]), f"{grown[true, taken]:+d}"]
        for true, taken in places
        if grown[true, taken] > 0
    ]
    if not rows:
        return None
    return Detail(
        "Confusions that grew most",
        table(["images of", "base", "head", "difference"], rows),
        f" ({rows[0][0]}: {rows[0][3]})",
    )


def curves(base: Snapshot, head: Snapshot) -> Detail | None:
    """Training loss of both, whole and from where it is level."""
    both = {"base": base.loss, "head": head.loss}
    charts = [
        mermaid.chart("Training loss", "cross-entropy", both),
        mermaid.chart("Training loss, second half", "cross-entropy", both, start=0.5),
    ]
    drawn = [chart for chart in charts if chart]
    return Detail("Loss curves", "\n\n".join([mermaid.legend(both), *drawn])) if drawn else None
