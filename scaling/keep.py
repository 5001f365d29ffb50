"""The best trials of a sweep become DVC experiments, each run again through the pipeline, so that all of it is there.

python -m scaling.keep --sweep=NAME [--best=5] [--frontier] [--seeds=1]

Trial 00012 of sweep NAME becomes the experiment sweep-NAME-00012, which runs in a folder of its own; what is there
already is not run again. Its training loss and validation accuracies have to equal the trial's, as they are written;
where they do not, it says why. With more seeds, the same settings are run with others, too: sweep-NAME-00012-seed1 and
so on.

The workspace is as it was. But when an experiment starts, `dvc exp run` puts aside what is not committed and brings it
back, within seconds: what is saved in between is lost.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterable, Iterator

from digits.errors import PipelineError, run
from scaling import records
from scaling.equality import differences, reasons
from scaling.experiments import Measured, measured
from scaling.frontier import write
from scaling.progress import to_go
from scaling.records import Description, Record
from scaling.running import ensure
from scaling.selection import best, pareto, thinned
from scaling.space import OBJECTIVE


class KeepError(PipelineError):
    """A trial that did not become an experiment, or one that is another than its trial without a reason."""


@dataclasses.dataclass(frozen=True)
class Kept:
    """What became of a trial, or of its settings with another seed."""

    trial: str
    name: str  # of the experiment
    found: Measured | None  # None: it failed
    differences: list[str]  # from the trial, each a text; none: equal to the bit, or with another seed
    reasons: list[str]  # why there may be differences
    problem: str | None


def main() -> None:
    """Keep what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", required=True, help="its name: the folder in sweeps/")
    parser.add_argument("--best", type=int, default=5, help="how many trials")
    parser.add_argument("--frontier", action="store_true", help="the best of each size, not the best of all")
    parser.add_argument("--seeds", type=int, default=1, help="with how many seeds each")
    arguments = parser.parse_args()
    if arguments.best < 1 or arguments.seeds < 1:
        parser.error("--best, --seeds: at least 1")
    try:
        kept = keep(arguments.sweep, arguments.best, arguments.seeds, arguments.frontier)
        write(arguments.sweep)
    except KeyboardInterrupt:
        print("\ninterrupted; what was kept is there, the same command goes on with the rest", file=sys.stderr)
        sys.exit(130)
    verify(kept)


def verify(kept: Iterable[Kept]) -> None:
    """See to it that every trial has become an experiment that is as it was, or that it is known why not.

    Raises:
        KeepError: one has not.
    """
    wrong = [item.name for item in kept if item.problem or (item.differences and not item.reasons)]
    if wrong:
        raise KeepError(f"not as they should be, see above: {', '.join(wrong)}")


def keep(name: str, count: int, seeds: int = 1, frontier: bool = False) -> list[Kept]:
    """Make experiments of the best trials; one that fails is told, and the others go on.

    Args:
        name: of the sweep.
        count: how many trials.
        seeds: with how many seeds each; the first is the trial's own.
        frontier: see `select`.

    Raises:
        RecordsError: there is no such sweep.
    """
    description = records.description(name)
    frontier = frontier or description["space"].get(OBJECTIVE) == "frontier"
    kept = []
    chosen = [*select(records.read(name), count, frontier)]
    started, total = time.monotonic(), seeds * len(chosen)
    for before, (what, record) in zip(range(0, total, seeds), chosen, strict=True):
        label = f"sweep-{name}-{record['trial']}"
        say(f"{label}: {what}, {record['validation_accuracy']:.2%}")
        item = keep_one(label, record, description)
        kept.append(item)
        say(f"  {told(item)}{to_go(started, before + 1, total - before - 1)}")
        if item.problem is None:
            for done, seed in enumerate(others(record, description, seeds), start=before + 2):
                again = another_seed(f"{label}-seed{seed}", seed, record, description)
                kept.append(again)
                say(f"  {told_of_seed(again)}{to_go(started, done, total - done)}")
    if any(item.found for item in kept):
        first = next(item.name for item in kept if item.found)
        say(f"compare them: dvc exp show; take one: dvc exp apply {first}")
    return kept


def select(trials: list[Record], count: int, frontier: bool) -> Iterator[tuple[str, Record]]:
    """Trials to keep, and what each of them is.

    Args:
        trials: of a sweep.
        count: how many at most.
        frontier: the best of each size, spread over the logarithm of the parameters, rather than the best of all. It is
            so anyway where the sweep's objective is the frontier.
    """
    if frontier:
        for record in thinned(pareto(trials), count):
            yield f"best validation accuracy with at most {record['parameters']:,} parameters", record
    else:
        for place, record in enumerate(best(trials, count), 1):
            yield f"number {place} by validation accuracy", record


def keep_one(label: str, record: Record, description: Description) -> Kept:
    """Make an experiment of one trial and hold it against its record."""
    try:
        commit = ensure(label, description["params"], record["settings"])
        found = measured(commit)
        differing = differences(record, found)
        why = reasons(record, description, commit, found) if differing else []
        return Kept(record["trial"], label, found, differing, why, None)
    except PipelineError as error:
        return Kept(record["trial"], label, None, [], [], str(error))


def told(item: Kept) -> str:
    """What to say of it."""
    if item.found is None:
        return f"FAILED: {item.problem}"
    figures = f"{item.found.parameters:,} parameters, test accuracy {item.found.test_accuracy:.2%}"
    if not item.differences:
        return f"loss and validation accuracies equal to the bit; {figures}"
    why = "; ".join(item.reasons) or "all that is known to change results is the same, so please look into it"
    return f"NOT as the trial: {'; '.join(item.differences)}. Why: {why}. {figures}"


def others(record: Record, description: Description, count: int) -> list[int]:
    """The seeds to run beside the trial's own: the smallest."""
    own = record["settings"].get("train.seed", description["params"]["train"]["seed"])
    return [seed for seed in range(count) if seed != own][: count - 1]


def another_seed(label: str, seed: int, record: Record, description: Description) -> Kept:
    """Run a trial's settings with another seed."""
    try:
        found = measured(ensure(label, description["params"], record["settings"] | {"train.seed": seed}))
        return Kept(record["trial"], label, found, [], [], None)
    except PipelineError as error:
        return Kept(record["trial"], label, None, [], [], str(error))


def told_of_seed(item: Kept) -> str:
    """What to say of a run with another seed than its trial's, with which it can't be compared."""
    if item.found is None:
        return f"{item.name}: FAILED: {item.problem}"
    accuracies = item.found.validation_accuracy, item.found.test_accuracy
    return "{}: validation accuracy {:.2%}, test accuracy {:.2%}".format(item.name, *accuracies)


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    run(main)
