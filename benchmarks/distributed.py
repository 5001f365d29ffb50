"""One training in two processes of one thread each, against one process of two threads: seconds, and accuracy.

The stage itself in either case, by `train.processes`, in turns, with a seed for each round.

python -m benchmarks.distributed [--rounds 10]
"""

import argparse
import dataclasses
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import yaml

from benchmarks.choices import overridden
from benchmarks.machine import children_seconds, publish, table
from benchmarks.pipeline import clone
from digits import training, weights
from digits.dataset import labelled
from digits.storage import read_arrays, read_json
from scaling.paired import compare
from stages.preprocess import TEST, TRAIN

CHOICES = {"1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}


@dataclasses.dataclass(frozen=True)
class Run:
    """One call of the stage."""

    seconds: float  # of training, as the stage says
    cpu: float  # seconds of all processes, from beginning to end
    accuracy: float  # percent of the test images


def main() -> None:
    """Train with each seed in each way and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    runs: dict[str, list[Run]] = {name: [] for name in CHOICES}
    with tempfile.TemporaryDirectory() as folder:
        project = clone(Path(folder) / "project")
        shutil.copytree(TRAIN.parent, project / TRAIN.parent, dirs_exist_ok=True)
        for seed in range(rounds):
            for name, done in runs.items():
                done.append(run(project, seed, *CHOICES[name]))
                print(name, seed, done[-1], flush=True)
    alone, *_ = runs.values()
    rows = []
    for name, done in runs.items():
        found = compare([one.accuracy for one in done], [one.accuracy for one in alone])
        rows.append(
            [
                name,
                spread([one.seconds for one in done]),
                spread([one.seconds / other.seconds for one, other in zip(done, alone, strict=True)]),
                spread([one.cpu for one in done]),
                deviating([one.accuracy for one in done]),
                ""
                if done is alone
                else f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f}), p = {found.p_value:.2f}",
            ]
        )
    header = ["training", "seconds an epoch", "ratio", "CPU seconds of the stage", "test accuracy, %", "difference, %"]
    body = (
        f"{table(header, rows)}\n\n{rounds} rounds in turns, a seed each: median (range); of accuracies mean "
        f"(standard deviation), of their differences by seed mean, 95 % interval and p-value of an exact test. "
        f"55,000 images, the default network and batch of 64."
    )
    publish("distributed", f"python -m benchmarks.distributed --rounds {rounds}", body, "torch")


def run(project: Path, seed: int, processes: int, threads: int) -> Run:
    """Call the stage in a project."""
    settings = {"seed": seed, "processes": processes, "threads": threads, "device": "cpu"}
    params = overridden([f"train.{key}={value}" for key, value in settings.items()], Path("params.yaml"))
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    before = children_seconds()
    subprocess.run([sys.executable, "-m", "stages.train"], cwd=project, check=True, stdout=sys.stderr)
    cpu = children_seconds() - before
    model, _ = weights.load(project / "models/model.safetensors")
    test = labelled(read_arrays(TEST, "images", "labels"), str(TEST))
    accuracy = training.accuracy(model, torch.from_numpy(test.images), torch.from_numpy(test.labels))
    return Run(read_json(project / "timings/train.json")["seconds"], cpu, 100 * accuracy)


def spread(values: list[float]) -> str:
    """Median (range)."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def deviating(values: list[float]) -> str:
    """Mean (standard deviation)."""
    return f"{statistics.mean(values):.3f} ({statistics.stdev(values):.3f})"


if __name__ == "__main__":
    main()
