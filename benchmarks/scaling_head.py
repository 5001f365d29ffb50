"""What a trial costs the head node of a cluster, as the number of trials grows. Nothing is trained.

First with workers that are none: whatever the driver does of its own for a trial (propose it, judge its measurements,
keep its record), for many workers at once. Then with Ray Tune and workers that only answer, on this machine.

python -m benchmarks.scaling_head [--trials 3000] [--workers 100 1000] [--real-trials 600] [--real-workers 16 64 128]
(--trials 0 or --real-trials 0: one part alone)
"""

import argparse
import itertools
import os
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import psutil
from ray.tune.schedulers import TrialScheduler

from benchmarks.machine import publish, table
from scaling import records, space, tuning
from scaling.cluster import Cluster, connected
from scaling.nodes import Spec, versions
from scaling.progress import Progress
from scaling.proposals import Proposals
from scaling.records import Description, Journal
from scaling.search import Search
from scaling.settings import Base, base
from scaling.trial import METRIC, TIME, Training

MARKS = (100, 300, 1000, 3000, 10_000)  # trials after which costs are told apart
STARTED = 200  # trials after which all real workers have started


class Silent(Progress):
    """Progress that shows nothing, and remembers what had been used when certain trials ended."""

    def __init__(self, total: int, *marks: int) -> None:
        super().__init__(total, [])
        self._so_far, self._marks = 0, marks
        self.used = [used()]

    def ended(self, record: records.Record) -> None:
        """A trial has ended."""
        self._so_far += 1
        if self._so_far in self._marks:
            self.used.append(used())


def used() -> tuple[float, float, float]:
    """Seconds until now: processor time of this process, that of Ray's own ones, and by the clock."""
    return time.process_time(), system_seconds(), time.monotonic()


class Answering(Training):
    """A worker that measures nothing: a curve like a training's, out of thin air."""

    def _prepare(self) -> Any:
        return {}, {}, {}

    def _train(self, *_: Any) -> Iterator[None]:
        yield from measured(self._state, random.Random(repr(self._settings)))  # noqa: S311 (it makes curves up)


def measured(state: dict[str, Any], chance: random.Random) -> Iterator[None]:
    """Five measurements of a trial, each into its state."""
    height = chance.gauss(0.985, 0.005)
    for count in range(1, 6):
        state["curve"].append(round(min(1.0, height + 0.001 * count + chance.gauss(0, 0.001)), 6))
        state |= {METRIC: state["curve"][-1], TIME: 20 * count, "parameters": 20_000, "loss": 0.3}
        state["outcome"] = "finished" if count == 5 else None
        yield


def main() -> None:
    """Measure both and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=3000)
    parser.add_argument("--workers", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--real-trials", type=int, default=600)
    parser.add_argument("--real-workers", type=int, nargs="+", default=[16, 64, 128])
    arguments = parser.parse_args()
    if arguments.trials:
        publish_own(arguments.trials, arguments.workers)
    if arguments.real_trials:
        publish_tuned(arguments.real_trials, arguments.real_workers)


def publish_own(trials: int, workers: list[int]) -> None:
    """The first table."""
    header = ["workers", "trials that have ended", "propose", "judge its measurements", "keep and learn", "together"]
    rows = [[f"{count:,}", *row] for count in workers for row in alone(trials, count)]
    body = (
        f"{table(header, rows)}\n\nCPU milliseconds of the driver a trial, mean, in the order in which they end; as "
        f"many under way as there are workers, of {len(space.load().domains)} settings and five measurements at most, "
        f"made up. Proposals are drawn by chance until ten trials have ended."
    )
    command = (
        f"python -m benchmarks.scaling_head --trials {trials} --workers {' '.join(map(str, workers))} --real-trials 0"
    )
    publish("scaling_head", command, body, "ray", "optuna")


def publish_tuned(trials: int, workers: list[int]) -> None:
    """The second table."""
    rows = [[f"{count:,}", *row] for count in workers for row in on_tune(trials, count)]
    header = ["workers", "trials", "driver", "Ray's own processes", "trials a second"]
    body = (
        f"{table(header, rows)}\n\nCPU milliseconds a trial of the driver, with Ray Tune, and of what Ray runs "
        f"beside workers; in the first {STARTED} trials the workers start. They are real ones that answer at once, all "
        f"on this machine, so that they take processor time from the driver: trials a second are at least so many."
    )
    options = f"--trials 0 --real-trials {trials} --real-workers {' '.join(map(str, workers))}"
    publish("scaling_tune", f"python -m benchmarks.scaling_head {options}", body, "ray", "optuna")


def blocks(count: int) -> list[tuple[int, int]]:
    """Beginnings and ends of the lines of a table about so many trials."""
    ends = [mark for mark in MARKS if mark < count] + [count]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def label(first: int, last: int) -> str:
    """Which trials a line is about."""
    return f"{first + 1:,} to {last:,}"


def alone(trials: int, workers: int) -> list[list[str]]:
    """Rows of the first table."""
    with sweep(trials) as (wanted, journal):
        costs = simulated(wanted, journal, workers)
    rows = []
    for first, last in blocks(trials):
        means = [1000 * statistics.mean(cost[part] for cost in costs[first:last]) for part in range(3)]
        rows.append([label(first, last), *(f"{mean:.1f}" for mean in [*means, sum(means)])])
    return rows


def simulated(wanted: Description, journal: Journal, workers: int) -> list[tuple[float, float, float]]:
    """CPU seconds of each trial: for its proposal, its measurements, its record; many under way at once."""
    found, known = space.parse(wanted["space"]), wanted["params"]
    proposals, progress = Proposals(found, known, wanted["seed"]), Silent(wanted["trials"])
    search = Search(wanted["trials"], proposals, journal, progress, places=lambda: {"none": workers})
    scheduler = tuning.halving(known, [])
    nobody: Any = None
    costs: list[tuple[float, float, float]] = []
    running: deque[tuple[Any, float, dict[str, Any], Iterator[None]]] = deque()
    begun = 0
    while begun < wanted["trials"] or running:
        while begun < wanted["trials"] and len(running) < workers:
            started = time.process_time()
            asked = search.suggest(f"{begun:05}")
            proposed = time.process_time() - started
            assert isinstance(asked, dict), search.problem
            trial = SimpleNamespace(trial_id=f"{begun:05}")
            scheduler.on_trial_add(nobody, trial)  # type: ignore[arg-type]
            state: dict[str, Any] = {"outcome": None, "error": None, "seconds": 4.0, "curve": []}
            state |= {"node": "none", "place": "none", "device": "none"}
            curve = measured(state, random.Random(begun))  # noqa: S311 (it makes curves up)
            running.append((trial, proposed, state, curve))
            begun += 1
        trial, proposed, state, curve = running.popleft()
        started, decision = time.process_time(), TrialScheduler.CONTINUE
        while state["outcome"] is None and decision == TrialScheduler.CONTINUE:
            next(curve)
            if state["outcome"] is None:
                decision = scheduler.on_trial_result(nobody, trial, state)
            else:
                scheduler.on_trial_complete(nobody, trial, state)
        judged = time.process_time()
        search.on_trial_complete(trial.trial_id, state)
        assert search.problem is None, search.problem
        costs.append((proposed, judged - started, time.process_time() - judged))
    return costs


def on_tune(trials: int, workers: int) -> list[list[str]]:
    """Rows of the second table."""
    patch = mock.patch.object(tuning, "Training", Answering)
    with patch, sweep(trials) as (wanted, journal), connected(None, 1, "cpu") as found:
        progress = Silent(trials, STARTED, trials)
        few = Cluster(None, found.cpus, 0, workers)._replace(cpus=found.workers / workers)  # type: ignore[arg-type]
        spec = Spec(None, None, None, {}, versions(), "")
        tuning.run_trials(wanted, journal, spec, few, progress)
    rows = []
    for (first, last), (before, after) in zip(
        itertools.pairwise([0, STARTED, trials]), itertools.pairwise(progress.used), strict=True
    ):
        *cpu, seconds = (end - start for start, end in zip(before, after, strict=True))
        count = last - first
        rows.append([label(first, last), *(f"{1000 * spent / count:.1f}" for spent in cpu), f"{count / seconds:.1f}"])
    return rows


def system_seconds() -> float:
    """User and system time of what Ray has started on this machine but for workers."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if not process.name().startswith("ray::"):
                times = process.cpu_times()
                total += times.user + times.system
        except psutil.NoSuchProcess:
            pass
    return total


@contextmanager
def sweep(trials: int) -> Iterator[tuple[Description, Journal]]:
    """A sweep of the default space, in a folder of its own."""
    known: Base = base()
    with tempfile.TemporaryDirectory() as folder:
        wanted: Description = {
            "space": space.load().document,
            "trials": trials,
            "seed": 0,
            "keep": 0,
            "commit": None,
            "code": "",
            "data": {},
            "params": known,
            "versions": versions(),
        }
        here = Path.cwd()
        os.chdir(folder)
        try:
            with records.begin("head", wanted) as journal:
                yield wanted, journal
        finally:
            os.chdir(here)


if __name__ == "__main__":
    main()
