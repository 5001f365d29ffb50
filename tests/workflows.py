"""The workflows, as they are written."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
# "on" is a truth value in YAML 1.1, which PyYAML reads.
WORKFLOWS: dict[str, dict[str, Any]] = {
    path.stem: {"on" if key is True else key: value for key, value in yaml.safe_load(path.read_text()).items()}
    for path in FILES
}
JOBS = {(name, job): content for name, file in WORKFLOWS.items() for job, content in file["jobs"].items()}
STEPS = [(f"{name}/{job}", step) for (name, job), content in JOBS.items() for step in content["steps"]]


def using(action: str, name: str | None = None) -> list[dict[str, Any]]:
    """Settings of each step that uses an action."""
    return [
        step.get("with", {})
        for place, step in STEPS
        if step.get("uses", "").startswith(f"{action}@") and place.startswith(name or "")
    ]
