"""What the pull-request report costs where nothing has to be recomputed, against one bare `dvc exp diff --md`.

python -m benchmarks.report [--rounds 7]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import children_seconds, publish, replace, table
from benchmarks.pipeline import clone, shown

BOUND = 4  # times the cost of `dvc exp diff --md`, that the report may cost
REPORT = [sys.executable, "-m", "reporting.report", "--base", "HEAD~1"]
DIFF = ["dvc", "exp", "diff", "--md", "HEAD~1"]
# File, what stands in it, and what takes its place.
CHANGES = (
    ("params.yaml", "learning_rate: 0.", "learning_rate: 0.1"),
    ("results/evaluate/metrics.json", '"recall": 0.99', '"recall": 0.98'),
)


def main() -> None:
    """Measure both in turns and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        project = clone(Path(folder) / "project")
        prepare(project)
        costs: dict[str, list[float]] = {"report": [], "diff": []}
        for _ in range(rounds):
            costs["report"].append(cpu_seconds(project, REPORT))
            costs["diff"].append(cpu_seconds(project, DIFF))
    ratios = [ours / theirs for ours, theirs in zip(costs["report"], costs["diff"], strict=True)]
    rows = [
        ["`make report`", shown(costs["report"])],
        ["`dvc exp diff --md`", shown(costs["diff"])],
        [f"ratio (at most {BOUND})", shown(ratios)],
    ]
    body = table(["command", "CPU seconds, median (range)"], rows) + f"\n\n{rounds} rounds; user and system time."
    publish("report", f"python -m benchmarks.report --rounds {rounds}", body, "dvc", "numpy")


def prepare(project: Path) -> None:
    """Data and results as committed, and one commit more, in which some metrics and params are others.

    The commit is made up of figures, not of a training: the report reads as much either way.
    """
    run(project, "dvc", "pull", "--quiet")
    identity = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
    kept = {project / file: (project / file).read_text() for file, _, _ in CHANGES}
    for file, old, new in CHANGES:
        replace(project / file, old, new)
    run(project, "git", *identity, "commit", "--quiet", "--all", "--message", "other figures")
    for path, text in kept.items():
        path.write_text(text)
    run(project, "git", *identity, "commit", "--quiet", "--all", "--message", "as they are")
    run(project, "dvc", "status", "--quiet")  # fills DVC's memory of checksums


def run(folder: Path, *command: str) -> None:
    """Run a command that has to succeed, and keep its output to itself."""
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def cpu_seconds(folder: Path, command: list[str]) -> float:
    """User and system time of a command and all that it starts."""
    before = children_seconds()
    run(folder, *command)
    return children_seconds() - before


if __name__ == "__main__":
    main()
