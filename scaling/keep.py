"""The best trials of a sweep become DVC experiments, each run again through the pipeline, so that all of it is there.

python -m scaling.keep --sweep=NAME [--best=5] [--seeds=1]

Trial 00012 of sweep NAME becomes the experiment sweep-NAME-00012, beside the workspace, which stays as it is; what is
there already is not run again. The validation accuracies of the run have to equal the trial's; where they do not, it
says why. With more seeds, the same settings are run with others, too: sweep-NAME-00012-seed1 and so on.
"""

import argparse
import dataclasses
import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from digits.errors import PipelineError, run
from scaling import records
from scaling.experiments import ExperimentError, Measured, document, experiments, measured, read, sections
from scaling.records import Description, Record

Sections = Mapping[str, Mapping[str, Any]]  # `model` and `train` of params.yaml


class KeepError(PipelineError):
    """A trial that did not become an experiment, or one that is another than its trial without a reason."""


@dataclasses.dataclass(frozen=True)
class Kept:
    """What became of a trial."""

    trial: str
    name: str  # of the experiment
    found: Measured | None  # None: it failed
    differences: list[str]  # from the trial, each a text; none: equal to the bit
    reasons: list[str]  # why there may be differences
    problem: str | None


def main() -> None:
    """Keep what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", required=True, help="its name: the folder in sweeps/")
    parser.add_argument("--best", type=int, default=5, help="how many trials")
    parser.add_argument("--seeds", type=int, default=1, help="with how many seeds each")
    arguments = parser.parse_args()
    if arguments.best < 1 or arguments.seeds < 1:
        parser.error("--best, --seeds: at least 1")
    kept = keep(arguments.sweep, arguments.best, arguments.seeds)
    wrong = [item.name for item in kept if item.problem or (item.differences and not item.reasons)]
    if wrong:
        raise KeepError(f"not as they should be, see above: {', '.join(wrong)}")


def keep(name: str, count: int, seeds: int = 1) -> list[Kept]:
    """Make experiments of the best trials; one that fails is told, and the others go on.

    Args:
        name: of the sweep.
        count: how many trials.
        seeds: with how many seeds each; the first is the trial's own.

    Raises:
        RecordsError: there is no such sweep.
    """
    description = records.description(name)
    kept = []
    for place, record in enumerate(best(records.read(name), count), 1):
        label = f"sweep-{name}-{record['trial']}"
        say(f"{label}: number {place} by validation accuracy, {record['validation_accuracy']:.2%}")
        item = keep_one(label, record, description)
        kept.append(item)
        say(f"  {told(item)}")
        if item.problem is None:
            for seed in others(record, description, seeds):
                say(f"  {another_seed(f'{label}-seed{seed}', seed, record, description)}")
    if any(item.found for item in kept):
        first = next(item.name for item in kept if item.found)
        say(f"compare them: dvc exp show; take one: dvc exp apply {first}")
    return kept


def best(trials: Iterable[Record], count: int) -> list[Record]:
    """Finished trials, the best by validation accuracy first; then with fewer parameters, then the earlier one.

    Of several with the same settings, which are the same to the bit, the first.
    """
    finished = sorted(
        (record for record in trials if record["state"] == "finished"),
        key=lambda record: (-(record["validation_accuracy"] or 0), record["parameters"] or 0, record["trial"]),
    )
    different = {json.dumps(record["settings"], sort_keys=True): record for record in reversed(finished)}
    return [record for record in finished if record in different.values()][:count]


def keep_one(label: str, record: Record, description: Description) -> Kept:
    """Make an experiment of one trial and hold it against its record."""
    try:
        commit = ensure(label, description["params"], record["settings"])
        found = measured(commit)
        differing = differences(record, found)
        return Kept(
            record["trial"], label, found, differing, reasons(record, description, commit) if differing else [], None
        )
    except PipelineError as error:
        return Kept(record["trial"], label, None, [], [], str(error))


def told(item: Kept) -> str:
    """What to say of it."""
    if item.found is None:
        return f"FAILED: {item.problem}"
    figures = f"{item.found.parameters:,} parameters, test accuracy {item.found.test_accuracy:.2%}"
    if not item.differences:
        return f"validation accuracies equal to the bit; {figures}"
    why = "; ".join(item.reasons) or "all that is known to change results is the same, so please look into it"
    return f"NOT as the trial: {'; '.join(item.differences)}. Why: {why}. {figures}"


def others(record: Record, description: Description, count: int) -> list[int]:
    """The seeds to run beside the trial's own: the smallest."""
    own = record["settings"].get("train.seed", description["params"]["train"]["seed"])
    return [seed for seed in range(count) if seed != own][: count - 1]


def another_seed(label: str, seed: int, record: Record, description: Description) -> str:
    """Run a trial's settings with another seed, and say what came of it."""
    try:
        found = measured(ensure(label, description["params"], record["settings"] | {"train.seed": seed}))
    except PipelineError as error:
        return f"{label}: FAILED: {error}"
    return f"{label}: validation accuracy {found.validation_accuracy:.2%}, test accuracy {found.test_accuracy:.2%}"


def ensure(label: str, base: Sections, settings: Mapping[str, Any]) -> str:
    """Commit of the DVC experiment of that name, which is run if it is not there.

    Args:
        label: name of the experiment.
        base: params that hold where `settings` say nothing, whatever the workspace has.
        settings: such as {"train.seed": 1}.

    Raises:
        ParamsError: params.yaml could not hold that.
        ExperimentError: the run fails; or there is one of that name, with other params.
    """
    merged = {section: dict(values) for section, values in base.items()}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        merged.setdefault(section, {})[name] = value
    wanted = sections(merged)
    commit = experiments().get(label)
    if commit is None:
        here = document(None, "params.yaml")
        differing = {
            f"{section}.{key}": value
            for section, values in merged.items()
            for key, value in values.items()
            if here.get(section, {}).get(key) != value
        }
        commit = pipeline(label, dict(settings) | differing)
    if sections(document(commit, "params.yaml")) != wanted:
        raise ExperimentError(
            f"{label}: there is an experiment of this name with other params; "
            f"remove it with `dvc exp remove {label}`, or give the sweep another name"
        )
    return commit


def pipeline(label: str, settings: Mapping[str, Any]) -> str:
    """Run an experiment in a folder of its own, as far as `evaluate`, and return its commit.

    Raises:
        ExperimentError: it fails. Its text ends with what was printed last.
    """
    # JSON is what DVC's grammar for values takes, too: [16,48], true, 1e-05, "sgd".
    overrides = [f"--set-param={key}={json.dumps(value, separators=(',', ':'))}" for key, value in settings.items()]
    # Not --queue: `--run-all` would start whatever else is waiting there.
    command = ["dvc", "exp", "run", "--temp", "--name", label, *overrides, "evaluate"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    commit = experiments().get(label)
    if answer.returncode or commit is None:
        last = "\n".join(answer.stdout.strip().splitlines()[-15:])
        raise ExperimentError(f"`dvc exp run --temp --name {label}` failed:\n{last}")
    return commit


def differences(record: Record, found: Measured) -> list[str]:
    """What the run measured otherwise than the trial."""
    texts = []
    if record["parameters"] != found.parameters:
        texts.append(f"{found.parameters:,} parameters, not {record['parameters']:,}")
    if record["validation_accuracy"] != found.validation_accuracy:
        texts.append(f"validation accuracy {found.validation_accuracy}, not {record['validation_accuracy']}")
    elif tuple(record["curve"]) != found.curve:
        texts.append(f"on the way {list(found.curve)}, not {record['curve']}")
    return texts


def reasons(record: Record, description: Description, commit: str) -> list[str]:
    """What is known to change results, and differs between a trial and its experiment, or may."""
    texts = []
    for package, before in description["versions"].items():
        now = version(package)
        if now != before:
            texts.append(f"the sweep had {package} {before}, here it is {now}")
    lock = document(commit, "dvc.lock")["stages"]["train"]
    sums = {item["path"]: item.get("md5") for item in lock["deps"]}
    other = [path for path, checksum in description["data"].items() if sums.get(path, checksum) != checksum]
    texts += [f"{path} is not what the sweep had" for path in other]
    if description["commit"] is None:
        texts.append("the sweep ran outside of Git, so nobody knows with which code")
    else:
        code = [path for path in sums if path.endswith(".py")]
        other = [path for path in code if checksum_of(description["commit"], path) != sums[path]]
        texts += [f"{path} is not as in commit {description['commit'][:7]}, with which the sweep ran" for path in other]
    if record["node"] != platform.node():
        texts.append(f"the trial ran on {record['node']}: other last bits if that has CUDA, or one of the two no AVX2")
    _, train = sections(document(commit, "params.yaml"))
    if train.instructions == "native":
        texts.append("train.instructions: native computes as each processor does it best")
    return texts


def version(package: str) -> str | None:
    """Of Python or of an installed package."""
    if package == "python":
        return ".".join(map(str, sys.version_info[:3]))
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def checksum_of(commit: str, path: str) -> str | None:
    """MD5 sum of a file as a commit has it."""
    try:
        return hashlib.md5(read(commit, path), usedforsecurity=False).hexdigest()
    except ExperimentError:
        return None


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    run(main)
