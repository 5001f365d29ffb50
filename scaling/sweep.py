"""A sweep: trials of settings from a search space, here or on a Ray cluster; the best become DVC experiments.

python -m scaling.sweep --space=scaling/sweep.yaml --trials=200 [--name=...] [--keep=3] [--seed=0]
python -m scaling.sweep --resume=NAME        (make sweep SPACE=... TRIALS=200, make sweep RESUME=NAME)

Judged is the accuracy on the validation split; nothing here reads the test images. A trial that falls behind is
stopped early. With RAY_ADDRESS set the trials run on that cluster, else on a Ray of this process's own.

A sweep goes on from its records, not from Ray Tune's state: that is written now and then, whole as a pickle, while a
record is on the disk before the next trial begins. Sampler and early stopping are brought to where they were from
these, so that a driver may be killed at any time, and proposes what it would have proposed.
"""

import argparse
import os
import sys
import time
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path

from digits.errors import PipelineError, run
from scaling import frontier, keep, preflight, records, settings, source, space
from scaling.cluster import Places, connected, without_gpu
from scaling.nodes import Spec
from scaling.progress import Progress
from scaling.records import Basis, Description, Journal, Record
from scaling.watch import watched

_GO_ON = "what has ended is kept, go on with: make sweep RESUME="
_OTHERS = {"code": ("another one", "this"), "data": ("other ones", "these"), "params": ("other ones", "these")}
_SHOWN = 5  # best trials in the summary


class SweepError(PipelineError):
    """A sweep that can't begin or go on."""


def main() -> None:
    """Run what has no record yet, then keep the best and draw the frontier."""
    arguments = parsed()
    address = os.environ.get("RAY_ADDRESS") or None
    if not arguments.resume:
        space.load(arguments.space or space.DEFAULT)  # a mistake there is said before what takes long
    spec = source.describe_code(address, arguments.repository)
    name, wanted = resumed(arguments, spec) if arguments.resume else fresh(arguments, spec)
    lost = None
    with records.begin(name, wanted) as journal:
        print(f"sweep {name}: {len(journal.records)} of {wanted['trials']} trials have ended", flush=True)
        try:
            if len(journal.records) < wanted["trials"]:
                lost = drive(name, wanted, journal, spec, address, most=arguments.workers)
            print(summary(journal.records, lost))
            kept = keep.keep(name, wanted["keep"]) if wanted["keep"] else []
            frontier.write(name)
        except KeyboardInterrupt:
            print(f"\ninterrupted; {_GO_ON}{name}", file=sys.stderr)
            sys.exit(130)
        except PipelineError as error:
            raise SweepError(f"{error}\n  {_GO_ON}{name}") from None
        except OSError as error:  # such as a full disk
            raise SweepError(f"{error.filename or name}: {error.strerror}\n  {_GO_ON}{name}") from None
    keep.verify(kept)
    if lost:
        raise SweepError(f"{lost}\n  {_GO_ON}{name}")


def parsed() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", type=Path, help=f"what is varied; default: {space.DEFAULT}")
    parser.add_argument("--trials", type=whole, help="how many; needed unless a sweep is resumed")
    parser.add_argument("--name", help="of the sweep, its folder in sweeps/; default: the time")
    parser.add_argument("--resume", metavar="NAME", help="go on with a sweep; --trials may ask for more than before")
    parser.add_argument("--keep", type=whole, help="best trials that become DVC experiments; default: 3")
    parser.add_argument("--seed", type=whole, help="of what is proposed; default: 0")
    parser.add_argument("--workers", type=whole, help="how many trials at once at most; default: all there is room for")
    parser.add_argument(
        "--threads", type=whole, help="processors that a trial takes; default: params.yaml's train.threads"
    )
    parser.add_argument("--repository", help="where the nodes of a cluster fetch the code; default: origin's address")
    arguments = parser.parse_args()
    begun = arguments.space, arguments.name, arguments.seed, arguments.threads
    if arguments.resume and any(given is not None for given in begun):
        parser.error("a sweep goes on as it was begun: give --resume no --space, --name, --seed or --threads")
    if arguments.workers == 0:
        parser.error("--workers: at least 1")
    if not arguments.resume and not arguments.trials:
        parser.error("how many trials? give --trials (make sweep TRIALS=200), or --resume=NAME (RESUME=NAME)")
    return arguments


def whole(text: str) -> int:
    """A number of trials, and the like."""
    if not (text.isascii() and text.isdigit() and int(text) <= 99_999):
        raise argparse.ArgumentTypeError(f"a whole number from 0 to 99999, found {text!r}")
    return int(text)


def fresh(arguments: argparse.Namespace, spec: Spec) -> tuple[str, Description]:
    """Name and description of a new sweep.

    Raises:
        PipelineError: the space or params.yaml has a mistake, or the name is taken.
    """
    name = arguments.name or time.strftime("%Y%m%d-%H%M%S")
    if (records.folder(name) / records.DESCRIPTION).exists():
        raise SweepError(f"{records.folder(name)}: is there; go on with it by RESUME={name}, or give another NAME=")
    found = space.load(arguments.space or space.DEFAULT)
    return name, {
        "space": found.document,
        "trials": arguments.trials,
        "seed": arguments.seed or 0,
        "keep": 3 if arguments.keep is None else arguments.keep,
        **basis(spec, arguments.threads),
    }


def basis(spec: Spec, threads: int | None) -> Basis:
    """What trials would have in common now.

    Args:
        spec: code and data.
        threads: of a trial, in place of what params.yaml says.

    Raises:
        PipelineError: params.yaml could not have that.
    """
    params = settings.base()
    if threads is not None:
        settings.sections({"train.threads": threads}, params)  # which holds it against the rules
        params["train"]["threads"] = threads
    return {
        "commit": spec.commit,
        "code": spec.code,
        "data": spec.data,
        "params": params,
        "versions": spec.versions | {"optuna": metadata.version("optuna")},
    }


def resumed(arguments: argparse.Namespace, spec: Spec) -> tuple[str, Description]:
    """Name and description of a sweep that was begun, with more trials if asked for.

    Raises:
        SweepError: code, data, params or versions are not what they were: results could not be compared. (A commit
            that leaves these alone is as good.)
    """
    name = arguments.resume
    wanted = records.description(name)
    for what, value in basis(spec, wanted["params"]["train"]["threads"]).items():
        before = wanted.get(what)
        if what != "commit" and value != before:
            was, now_is = (before, value) if what == "versions" else _OTHERS[what]
            raise SweepError(
                f"{records.folder(name)}: was begun with {what} {was}, not {now_is}, so its trials can't be "
                f"compared; go back to {wanted['commit']}, or begin a new sweep"
            )
    if wanted["commit"] != spec.commit:
        print(f"sweep {name}: begun with commit {wanted['commit']}, goes on with {spec.commit}; the code is the same")
    wanted["trials"] = arguments.trials or wanted["trials"]
    wanted["keep"] = wanted["keep"] if arguments.keep is None else arguments.keep
    return name, wanted


def drive(
    name: str, wanted: Description, journal: Journal, spec: Spec, address: str | None, *, most: int | None
) -> str | None:
    """Run trials until each number has a record, at most so many at once as `most` says; see `tuning.run_trials`.

    Raises:
        PipelineError: it can't be done; what has ended is in the journal.
    """
    threads, device = wanted["params"]["train"]["threads"], wanted["params"]["train"]["device"]
    advice = f"if it stays away, Ray ends this process within a minute; {_GO_ON}{name}"
    with connected(address, threads, device) as cluster, watched(cluster.head, advice) if address else nullcontext():
        found = preflight.check_nodes(spec, Places(cluster)()) if address else preflight.Preflight([], {})
        if found.ready:
            print(f"nodes: {', '.join(found.ready)}", flush=True)
        if cluster.gpus and (idle := without_gpu()):
            told = f"without a GPU, and so without trials: {', '.join(idle)}; they run some with train.device: cpu"
            print(told, flush=True)
        for problem in found.unfit.values():
            print(f"warning: {problem}", file=sys.stderr, flush=True)
        progress = Progress(wanted["trials"], journal.records)
        try:
            from scaling.tuning import run_trials  # now that the environment of Ray and Tune is set

            return run_trials(wanted, journal, spec, cluster, progress, unfit=found.unfit, most=most)
        finally:
            progress.close()


def summary(ended: list[Record], lost: str | None = None) -> str:
    """The best trials, and how many ended otherwise; `lost` is what is said of those without a record.

    Raises:
        SweepError: none has finished.
    """
    finished = [
        record for record in ended if record["validation_accuracy"] is not None and record["state"] == "finished"
    ]
    if not finished:
        reasons = {record["error"] for record in ended if record["error"]} | ({lost} if lost else set())
        raise SweepError(f"no trial has finished; {'; '.join(sorted(reasons)[:3])}")
    finished.sort(key=lambda record: (-(record["validation_accuracy"] or 0), record["parameters"] or 0))
    lines = [
        f"  {record['trial']}  {record['validation_accuracy']:.4f}  {record['parameters']:>7,} parameters  "
        + "  ".join(f"{key.partition('.')[2]} {value}" for key, value in record["settings"].items())
        for record in finished[:_SHOWN]
    ]
    counts = ", ".join(
        f"{sum(record['state'] == state for record in ended)} {state}" for state in ("finished", "stopped", "failed")
    )
    return f"{counts}; the best by validation accuracy:\n" + "\n".join(lines)


if __name__ == "__main__":
    run(main)
