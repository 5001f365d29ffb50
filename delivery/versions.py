"""What is in which stage, since when and by whom, and how good each version is: `make versions`.

python -m delivery.versions [--repo FOLDER] [--json]
"""

import argparse
import dataclasses
import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

from delivery import git, registry
from delivery.printable import one_line
from delivery.registry import Registry, Version
from delivery.settings import DeliveryParams
from digits import params
from digits.errors import run

METRICS = "results/evaluate/metrics.json"
NONE = "-"


def main() -> None:
    """Print two tables: stages, and versions with the newest first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repo", default=".", type=Path, help="working tree or bare clone")
    parser.add_argument("--json", action="store_true", help="for programs")
    arguments = parser.parse_args()
    settings = params.load(DeliveryParams, "delivery")
    known = registry.read(arguments.repo, settings.artifact)
    stages = list(dict.fromkeys([*settings.stages, *known.history]))
    if arguments.json:
        print(as_json(known, stages, arguments.repo))
    elif not known.versions and not known.withdrawn:
        print(f"no version of {settings.artifact} yet: register one with `make release`, or `git fetch --tags`")
    else:
        print(f"{stage_table(known, stages)}\n\n{version_table(known, stages, arguments.repo)}")


def metrics(repo: Path, version: Version) -> dict[str, Any]:
    """Metrics of a version as they were committed; empty where there are none that can be read."""
    try:
        content = json.loads(git.read(repo, version.commit, METRICS) or b"{}", parse_constant=lambda _: None)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def stage_table(known: Registry, stages: list[str]) -> str:
    """One line a stage."""
    rows = []
    for stage in stages:
        found = known.assigned(stage)
        if found is None:
            rows.append([stage, NONE, NONE, NONE, NONE])
        else:
            name = found.version.name if found.version else f"{found.commit[:7]}: no version"
            rows.append([stage, name, shown(found.when), one_line(found.by, 30), found.tag])
    return aligned(["stage", "version", "since", "by", "tag"], rows)


def version_table(known: Registry, stages: list[str], repo: Path) -> str:
    """One line a version."""
    rows = []
    for version in [*reversed(known.versions), *reversed(known.withdrawn)]:
        found = metrics(repo, version)
        where = ", ".join(places(known, stages, version)) or NONE
        rows.append(
            [
                version.name,
                percent(found.get("accuracy")),
                str(found["errors"]) if isinstance(found.get("errors"), int) else NONE,
                "withdrawn" if version in known.withdrawn else where,
                shown(version.when),
                one_line(version.by, 30),
                version.commit[:7],
            ]
        )
    return aligned(["version", "accuracy", "errors", "now in", "registered", "by", "commit"], rows)


def places(known: Registry, stages: list[str], version: Version) -> list[str]:
    """Stages that have a version now."""
    return [stage for stage in stages if (found := known.assigned(stage)) and found.commit == version.commit]


def percent(accuracy: Any) -> str:
    """An accuracy as per cent, where it is one."""
    number = isinstance(accuracy, float | int) and math.isfinite(accuracy)
    return f"{100 * accuracy:.2f} %" if number else NONE


def shown(when: datetime) -> str:
    """A moment, to the minute."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


def aligned(header: list[str], rows: list[list[str]]) -> str:
    """Columns as wide as what is in them."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in [header, *rows]]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def as_json(known: Registry, stages: list[str], repo: Path) -> str:
    """All of it for programs, with the history of each stage."""

    def entry(item: Any) -> dict[str, Any]:
        fields = dataclasses.asdict(item)
        return fields | {"when": item.when.isoformat()} | ({"version": name_of(item)} if "stage" in fields else {})

    def name_of(item: registry.Assignment) -> str | None:
        return item.version.name if item.version else None

    content = {
        "artifact": known.artifact,
        "stages": {
            stage: {
                "current": entry(found) if (found := known.assigned(stage)) else None,
                "history": [entry(item) for item in known.history.get(stage, [])],
            }
            for stage in stages
        },
        "versions": [entry(version) | {"metrics": metrics(repo, version)} for version in known.versions],
        "withdrawn": [entry(version) for version in known.withdrawn],
    }
    return json.dumps(content, indent=2)


if __name__ == "__main__":
    run(main)
