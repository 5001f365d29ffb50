"""What a pull request costs after set-up: one that only touches documentation against one that retrains.

python -m benchmarks.pull_request [--rounds 3]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import children_seconds, publish, replace, table
from benchmarks.pipeline import clone, shown
from reporting.repro import parse

BOUND = 1 / 3  # of the cost of one that retrains, that one of documentation may cost
# The steps of .github/workflows/ml-pipeline.yml between set-up and upload. Verify may fail: that is what it is for.
STEPS = (
    ["dvc", "pull", "--allow-missing"],
    [sys.executable, "-m", "reporting.verify"],
    ["dvc", "repro", "evaluate"],
    ["dvc", "repro", "check"],
    [sys.executable, "-m", "reporting.plots"],
    [sys.executable, "-m", "reporting.report", "--base", "origin/HEAD"],
)
# File, what stands in it, and what takes its place.
CHANGES = {
    "documentation": ("README.md", "# MNIST", "# The MNIST"),
    "retrains": ("params.yaml", "learning_rate: 0.2", "learning_rate: 0.21"),
}
IDENTITY = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")


def main() -> None:
    """Measure both in turns, each in a clone with an empty cache, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    costs: dict[str, list[float]] = {name: [] for name in CHANGES}
    stages: dict[str, set[tuple[str, ...]]] = {name: set() for name in CHANGES}
    for _ in range(rounds):
        for name, change in CHANGES.items():
            with tempfile.TemporaryDirectory() as folder:
                project = clone(Path(folder) / "project")
                seconds, ran = measured(project, *change)
                costs[name].append(seconds)
                stages[name].add(ran)
                print(f"{name}: {seconds:.2f} s, {len(ran)} stages", flush=True)
    ratios = [cheap / dear for cheap, dear in zip(costs["documentation"], costs["retrains"], strict=True)]
    rows = [
        ["documentation only", listed(stages["documentation"]), shown(costs["documentation"])],
        ["a param of training, `dvc.lock` stale", listed(stages["retrains"]), shown(costs["retrains"])],
        [f"ratio (at most {BOUND:.2f})", "", shown(ratios)],
    ]
    body = table(["pull request", "stages that ran", "CPU seconds after set-up, median (range)"], rows)
    body += f"\n\n{rounds} rounds; user and system time of the workflow's steps from pull to report."
    publish("pull_request", f"python -m benchmarks.pull_request --rounds {rounds}", body, "dvc", "torch")


def measured(project: Path, file: str, old: str, new: str) -> tuple[float, tuple[str, ...]]:
    """Commit one change and run the workflow's steps: their user and system time, and the stages that ran."""
    replace(project / file, old, new)
    subprocess.run(["git", *IDENTITY, "commit", "--quiet", "--all", "--message", "change"], cwd=project, check=True)
    before, said = children_seconds(), ""
    for step in STEPS:
        check = "reporting.verify" not in step
        said += subprocess.run(step, cwd=project, check=check, capture_output=True, text=True).stdout
    return children_seconds() - before, tuple(parse(said).ran)


def listed(stages: set[tuple[str, ...]]) -> str:
    """Stages that ran in each round, once where all rounds agree."""
    return " or ".join(", ".join(ran) or "none" for ran in sorted(stages))


if __name__ == "__main__":
    main()
