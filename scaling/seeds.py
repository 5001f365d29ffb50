"""Many seeds of any experiment: mean, deviation, minimum, and whether it beats another one.

make seeds EXPERIMENT=name-or-revision [AGAINST=name-or-revision] [SEEDS=20] [SPLIT=test]
    or python -m scaling.seeds [--experiment=...] [--against=...] [--seeds=20] [--split=test]

Without an experiment the workspace. Each side runs with its own code, params and data; of the params only `train.seed`
is another one. Compared is the accuracy on the validation images: the test images are for the final figure, once the
choice is made, not for choosing.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from digits.errors import PipelineError, run
from scaling import warm
from scaling.experiments import resolve
from scaling.paired import ENOUGH, Comparison, compare

WORKSPACE = "workspace"


class SeedsError(PipelineError):
    """No seed came to an end, so there is nothing to say."""


def main() -> None:
    """Evaluate one experiment, or two, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", help="name of a DVC experiment, or any Git revision; none: the workspace")
    parser.add_argument("--against", help="the same, to compare with")
    parser.add_argument("--seeds", type=int, default=20, help="how many: 0, 1, ... are the seeds")
    parser.add_argument("--split", choices=warm.STAGES, default="validation", help="whose accuracy")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error(f"--seeds: {arguments.seeds} seeds have no deviation; at least 2")
    names = [arguments.experiment or WORKSPACE, *([arguments.against] if arguments.against else [])]
    # Whatever is wrong with a name is said before minutes of training.
    commits = [None if name == WORKSPACE else resolve(name) for name in names]
    found = []
    try:
        for name, commit in zip(names, commits, strict=True):
            found.append(evaluate(name, commit, range(arguments.seeds), arguments.split))
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is kept but what stands above", file=sys.stderr)
        sys.exit(130)
    print(f"\n{report(names, found, arguments.split, arguments.seeds)}")


def evaluate(name: str, commit: str | None, seeds: Sequence[int], split: warm.Split) -> dict[int, float]:
    """Accuracy by seed, in percent; progress on stderr. A seed that fails is told and left out.

    Args:
        name: what to call it.
        commit: whose code, params and data; None for the workspace.
        seeds: values of `train.seed`.
        split: whose images are scored.

    Raises:
        ExperimentError: see `warm.prepare`.
        SeedsError: no seed came to an end.
    """
    results: dict[int, float] = {}
    error = ""
    with tempfile.TemporaryDirectory(prefix="seeds-") as folder:
        warm.prepare(commit, Path(folder), split)
        started = time.monotonic()
        for done, (seed, score) in enumerate(zip(seeds, warm.scores(Path(folder), seeds, split), strict=True), 1):
            if isinstance(score, str):
                error = score
                said = f"failed: {score}"
            else:
                results[seed] = 100 * score
                said = f"{100 * score:.2f} %"
            left = (time.monotonic() - started) / done * (len(seeds) - done)
            print(f"{name}, seed {seed}: {said}" + (f" ({left:.0f} s left)" if left else ""), file=sys.stderr)
    if not results:
        raise SeedsError(f"{name}: no seed came to an end; the last one said: {error}")
    return results


def report(names: list[str], found: list[dict[int, float]], split: warm.Split, asked: int) -> str:
    """A table of one or two experiments, and what the comparison says.

    Args:
        names: of the experiments.
        found: for each of them accuracy by seed, in percent.
        split: whose images were scored.
        asked: number of seeds that were tried.
    """
    width = max(len(f"{split} accuracy"), *map(len, names))
    lines = [f"{split + ' accuracy':{width}}  {'mean':>9}  deviation  {'minimum':>8}  {'maximum':>8}  seeds"]
    for name, results in zip(names, found, strict=True):
        scores = list(results.values())
        deviation = f"{statistics.stdev(scores):.3f}" if len(scores) > 1 else "-"
        lines.append(
            f"{name:{width}}  {statistics.mean(scores):7.3f} %  {deviation:>9}  {min(scores):6.2f} %  "
            f"{max(scores):6.2f} %  {len(scores):>5}"
        )
    failed = asked * len(found) - sum(map(len, found))
    if failed:
        lines += ["", f"{failed} {'seed' if failed == 1 else 'seeds'} failed, see above, and count nowhere"]
    if len(found) == 2:
        seeds = sorted(found[0].keys() & found[1].keys())
        if not seeds:
            raise SeedsError(f"{names[0]} and {names[1]}: no seed came to an end with both, so they can't be compared")
        first, second = ([results[seed] / 100 for seed in seeds] for results in found)
        lines += ["", *verdict(names[0], names[1], compare(first, second))]
    return "\n".join(lines)


def verdict(first: str, second: str, paired: Comparison) -> list[str]:
    """What to make of a comparison, whose values are shares."""
    mean, low, high = (100 * value for value in (paired.mean, paired.low, paired.high))
    counted = f"{first} - {second}, {paired.pairs} pairs: {mean:+.3f} points"
    if paired.pairs < ENOUGH:
        return [f"{counted}; fewer than {ENOUGH} pairs can show nothing: ask for more seeds"]
    measured = f"{counted} (95 % interval {low:+.3f} to {high:+.3f}; sign-flip test, p = {paired.p_value:.2g})"
    if paired.p_value <= 0.05:
        return [measured, f"{first} is {'better' if mean > 0 else 'worse'}, by more than seeds explain"]
    return [measured, "no difference that seeds would not explain"]


if __name__ == "__main__":
    run(main)
