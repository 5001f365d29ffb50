"""Trials a minute of a sweep, against `dvc exp run --queue` on the same space, and what a trial adds to its training.

python -m benchmarks.scaling_sweep [--rounds 3] [--trials 60] [--queued 6] [--watched 12]

In turns on one machine of two processors, in a clone of what is committed, with one thread a trial: a sweep, two trials
at once, from the command to its end; of its trials one in so many by DVC's queue, two at once, too, from the first `dvc
exp run --queue` to the end of the last, up to `train` alone; a sweep on one processor; and the training of the same
trials without Ray, there, one after the other in one process, each as far as the sweep went with it.

What a trial adds is the time between the ends of the first and the last one that the one worker did not train in:
measured within the same minutes, for these machines are half as quick again in one minute as in the next. Whether it
trains more slowly beside Ray, the training without Ray has to tell.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import publish, table
from benchmarks.pipeline import clone, seconds, shown
from digits.dataset import labelled
from digits.recipe import set_up_torch
from digits.storage import read_arrays, read_json
from scaling.cluster import processors
from scaling.settings import base, sections

JOBS = 2
THREADS = {"train.threads": 1}
ALONE = ("taskset", "--cpu-list", "0")
DATA = Path("data/prepared")


def main() -> None:
    """Measure in turns and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=60, help="of a sweep")
    parser.add_argument("--queued", type=int, default=6, help="of them, those that DVC's queue runs")
    parser.add_argument("--watched", type=int, default=12, help="trials of the sweep on one processor")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)  # trials.jsonl, in a process of its own
    arguments = parser.parse_args()
    if arguments.bare:
        print(json.dumps(trained([json.loads(line) for line in arguments.bare.read_text().splitlines()])))
        return
    if (workers := processors()) != JOBS:
        parser.error(f"{workers} trials would run at once, where the queue runs {JOBS}: use taskset")
    swept, queued, stopped, overheads, alone = [], [], [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = clone(Path(temporary) / "project")
        call(folder, "dvc", "pull", "--quiet")
        for number in range(arguments.rounds):
            name = f"round-{number}"
            took, _ = sweep(folder, name, arguments.trials, seed=number)
            records = read(folder, name)
            swept.append(60 * arguments.trials / took)
            stopped.append(sum(record["state"] == "stopped" for record in records))
            # From the beginning to the end: those that are proposed late are larger than the first ones.
            some = records[:: arguments.trials // arguments.queued][: arguments.queued]
            whole = queue(folder, name, [record["settings"] for record in some])
            queued.append(60 * arguments.queued / whole)
            _, arrivals = sweep(folder, f"watched-{number}", arguments.watched, seed=number, prefix=ALONE)
            first, *others = [record["seconds"] for record in read(folder, f"watched-{number}")]
            path = folder / f"sweeps/watched-{number}/trials.jsonl"
            command = [*ALONE, sys.executable, "-m", "benchmarks.scaling_sweep", "--bare", str(path)]
            bare = json.loads(subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout)
            # From the end of the first trial, since a worker starts once and not with each trial.
            overheads.append(100 * ((arrivals[-1] - arrivals[0]) / sum(others) - 1))
            alone.append(100 * (sum(others) / sum(bare[1:]) - 1))
            print(
                f"sweep {swept[-1]:.1f} trials a minute, queue {queued[-1]:.1f}, overhead {overheads[-1]:.1f} %, "
                f"training beside Ray {alone[-1]:+.1f} % (first trial {first:.1f} s)",
                flush=True,
            )
    ratios = [ours / theirs for ours, theirs in zip(swept, queued, strict=True)]
    header = [
        "trials a minute",
        f"`make sweep TRIALS={arguments.trials} THREADS=1`",
        f"`dvc exp run --queue`, {JOBS} jobs",
        "times",
    ]
    body = table(header, [["median (range)", shown(swept), shown(queued), shown(ratios)]])
    early = f"{statistics.median(stopped):g} of {arguments.trials} trials were stopped early"
    body += (
        f"\n\n{arguments.rounds} rounds; {early}. A trial takes {shown(overheads)} % longer than its training, without "
        f"the start of the sweep; beside Ray the training itself takes {shown(alone)} % longer than alone, with what "
        f"this machine's speed changes from one minute to the next."
    )
    command_line = (
        f"python -m benchmarks.scaling_sweep --rounds {arguments.rounds} --trials {arguments.trials} "
        f"--queued {arguments.queued} --watched {arguments.watched}"
    )
    publish("scaling_sweep", command_line, body, "ray", "optuna", "dvc", "torch")


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    """Records of a sweep."""
    return [json.loads(line) for line in (folder / f"sweeps/{name}/trials.jsonl").read_text().splitlines()]


def sweep(folder: Path, name: str, trials: int, seed: int, prefix: Sequence[str] = ()) -> tuple[float, list[float]]:
    """Seconds that a sweep takes, and when each of its trials ended."""
    options = [f"--name={name}", f"--trials={trials}", f"--seed={seed}", "--keep=0", "--threads=1"]
    started = time.perf_counter()
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    command = [*prefix, sys.executable, "-m", "scaling.sweep", *options]
    arrivals: list[float] = []
    path = folder / f"sweeps/{name}/trials.jsonl"
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            ended = path.read_bytes().count(b"\n") if path.exists() else 0
            arrivals += [time.perf_counter()] * (ended - len(arrivals))
            time.sleep(0.02)
    took = time.perf_counter() - started
    if process.returncode or len(arrivals) != trials:
        raise RuntimeError(f"the sweep ended with exit code {process.returncode} after {len(arrivals)} trials")
    return took, arrivals


def queue(folder: Path, name: str, settings: list[dict[str, Any]]) -> float:
    """Seconds that DVC's queue takes for the same trials."""

    def run() -> None:
        for number, values in enumerate(settings):
            options = [f"--set-param={key}={json.dumps(value)}" for key, value in (values | THREADS).items()]
            call(folder, "dvc", "exp", "run", "--quiet", "--queue", f"--name={name}-{number}", *options, "train")
        call(folder, "dvc", "exp", "run", "--quiet", "--run-all", "--jobs", str(JOBS))

    took = seconds(run)
    listed = subprocess.run(
        ["dvc", "exp", "list", "--name-only"], cwd=folder, check=True, stdout=subprocess.PIPE
    ).stdout
    missing = {f"{name}-{number}" for number in range(len(settings))} - set(listed.decode().split())
    if missing:
        raise RuntimeError(f"experiments that are not there: {', '.join(sorted(missing))}")
    return took


def trained(records: list[dict[str, Any]]) -> list[float]:
    """Seconds that the training of each trial takes, as far as the sweep went, with code and data loaded once."""
    base_params = base()
    base_params["train"]["threads"] = 1
    _, params = sections({}, base_params)
    set_up_torch(params)
    import torch

    from digits import training
    from digits.model import principal_directions
    from scaling.trial import remembering

    train, validation = (
        labelled(read_arrays(DATA / f"{split}.npz", "images", "labels"), split) for split in ("train", "validation")
    )
    pixels = read_json(DATA / "statistics.json")["train"]
    mean, std = pixels["pixel_mean"], pixels["pixel_std"]
    images, find, times = torch.from_numpy(train.images), remembering(principal_directions), []
    for record in records:
        started = time.perf_counter()
        model_params, params = sections(record["settings"], base_params)
        model = training.build(model_params, params, images, mean, std, find=find)
        measured = (
            step.validation_accuracy
            for step in training.fit(model, train, validation, params)
            if step.validation_accuracy is not None
        )
        curve = [round(accuracy, 6) for accuracy in itertools.islice(measured, record["validations"])]
        times.append(time.perf_counter() - started)
        if curve != record["curve"]:
            raise RuntimeError(f"trial {record['trial']}: {record['curve']} in the sweep, {curve} here")
    return times


def call(folder: Path, *command: str) -> None:
    """Run a command that has to succeed, and keep its output to itself."""
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
