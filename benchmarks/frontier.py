"""The frontier of accuracy against parameters, by a sweep: its best networks of each size, with several seeds each.

python -m benchmarks.frontier [--trials 120] [--points 8] [--seeds 5] [--name frontier]

A sweep of scaling/frontier.yaml, then DVC experiments of what is kept of it (`dvc exp show` lists them); what is there
already is not run again. Beside them, with the same seeds, networks that the README speaks of and that a person chose.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.choices import CHOICES, values
from benchmarks.machine import RESULTS, publish, table
from digits.errors import run
from scaling import keep, records, running, settings
from scaling.frontier import Point, dot, kept_points, places, points
from scaling.picture import draw
from scaling.selection import pareto

SPACE = Path("scaling/frontier.yaml")
BY_HAND = ("default", "four-convolutions")


def main() -> None:
    """Run what is not there yet, and publish what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--points", type=int, default=8, help="that are kept of the sweep")
    parser.add_argument("--seeds", type=int, default=5, help="with which each is run")
    parser.add_argument("--name", default="frontier", help="of the sweep; another where code or params have changed")
    arguments = parser.parse_args()
    name, seeds = arguments.name, arguments.seeds
    sweep(name, arguments.trials)
    kept = keep.keep(name, arguments.points, seeds, frontier=True)
    keep.verify(kept)
    chosen, trials, found = by_hand(name, seeds), records.read(name), kept_points(name)
    networks = [found[trial] for trial in dict.fromkeys(item.trial for item in kept)]
    rows = [row(point) for point in networks] + [row(point, choice) for choice, point in chosen.items()]
    rows.sort(key=lambda cells: int(cells[0].replace(",", "")))
    body = table(["parameters", "network", "peak rate", "test accuracy, mean ± standard deviation", "lowest"], rows)
    body += (
        f"\n\n{seeds} seeds each, one epoch, 55,000 training images. {len(places(trials))} trials finished; of the "
        f"{len(pareto(trials))} that no smaller one beats on the validation images, {len(networks)} were kept. "
        f"Chosen by hand: {', '.join(chosen)}."
    )
    command = f"--trials {arguments.trials} --points {arguments.points} --seeds {seeds}"
    publish("frontier", f"python -m benchmarks.frontier {command}", body, "torch", "ray", "optuna", "dvc")
    dots = [dot(point) for point in [*networks, *chosen.values()]]
    title = "More parameters, fewer errors: one epoch on MNIST"
    (RESULTS / "frontier.png").write_bytes(draw(title, dots, places(trials)))


def sweep(name: str, trials: int) -> None:
    """Run the sweep, or what is left of it."""
    begun = (records.folder(name) / records.DESCRIPTION).exists()
    which = [f"--resume={name}"] if begun else [f"--name={name}", f"--space={SPACE}"]
    command = [sys.executable, "-m", "scaling.sweep", *which, f"--trials={trials}", "--keep=0"]
    subprocess.run(command, check=True)


def by_hand(sweep: str, seeds: int) -> dict[str, Point]:
    """Points of `BY_HAND`, which are run where they are not there yet."""
    base, found = settings.base(), {}
    for name in BY_HAND:
        commits = {}
        for seed in range(seeds):
            label = f"{sweep}-by-hand-{name}-{seed}"
            commits[label] = running.ensure(label, base, values(CHOICES[name]) | {"train.seed": seed})
            print(label, flush=True)
        (found[name],) = points(commits)
    return found


def row(point: Point, choice: str | None = None) -> list[str]:
    """One network's figures over its seeds, in percent; `choice` is its name where a person chose it."""
    scores = [100 * score for score in point.test]
    deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return [
        f"{point.parameters:,}",
        point.network + (f" ({choice})" if choice else ""),
        f"{point.rate:g}",
        f"{statistics.mean(scores):.2f} ± {deviation:.2f}",
        f"{min(scores):.2f}",
    ]


if __name__ == "__main__":
    run(main)
