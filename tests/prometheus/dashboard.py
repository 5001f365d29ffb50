"""Grafana's dashboard, taken apart."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "monitoring/grafana/dashboard.json"


def read() -> dict[str, Any]:
    """The file."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def expressions(dashboard: dict[str, Any], variables: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Whose each PromQL expression is, and what Grafana would ask with its variables filled in.

    Raises:
        KeyError: a variable that is none.
    """
    asked = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked += [(entry["name"], entry["expr"]) for entry in dashboard["annotations"]["list"]]
    for entry in dashboard["templating"]["list"]:
        if found := re.fullmatch(r"label_values\((.*), \w+\)", entry["query"]):
            asked.append((entry["name"], found[1]))
    for name, expression in asked:
        yield name, re.sub(r"\$(\w+)", lambda found: variables[found[1]], expression)
