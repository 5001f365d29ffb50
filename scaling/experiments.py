"""DVC's experiments and other Git revisions, read by Git alone: their names, files, params and metrics."""

import csv
import dataclasses
import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from digits.architecture import ModelParams
from digits.errors import PipelineError
from digits.recipe import TrainParams
from scaling.settings import SECTIONS, sections

# Where DVC keeps an experiment: under the commit that it started from, in two parts, by its name.
_REFERENCE = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/([^/]+)")

_CURVE = "results/train/plots/metrics/validation/accuracy.tsv"


class ExperimentError(PipelineError):
    """There is no such experiment or revision, or it lacks a file."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """What an experiment that was run up to `evaluate` found."""

    model: ModelParams
    train: TrainParams
    parameters: int
    validation_accuracy: float  # 0 to 1, rounded to six digits as all of them
    curve: tuple[float, ...]  # validation accuracy along the training, on some of the images; the last on all
    loss: float  # mean of the last training steps
    test_accuracy: float  # 0 to 1


def git(*arguments: str) -> bytes:
    """What Git prints.

    Raises:
        ExperimentError: it fails. Its text ends with Git's own words.
    """
    answer = subprocess.run(["git", *arguments], capture_output=True, check=False)
    if answer.returncode:
        raise ExperimentError(f"`git {arguments[0]}` failed: {answer.stderr.decode(errors='replace').strip()}")
    return answer.stdout


def experiments() -> dict[str, str]:
    """Commit of each DVC experiment by its name; where several commits have one of the same name, the newest."""
    listed = git("for-each-ref", "--sort=committerdate", "--format=%(objectname) %(refname)", "refs/exps/").decode()
    pairs = [line.partition(" ") for line in listed.splitlines()]
    found = [(_REFERENCE.fullmatch(reference), commit) for commit, _, reference in pairs]
    return {match[1]: commit for match, commit in found if match}


def resolve(name: str) -> str:
    """Commit that a DVC experiment's name or any Git revision means.

    Raises:
        ExperimentError: neither is there.
    """
    commit = experiments().get(name)
    if commit:
        return commit
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode().strip()
    except ExperimentError:
        raise ExperimentError(
            f"{name!r} is no DVC experiment and no Git revision here; `dvc exp list --all-commits` lists the "
            f"experiments, and `dvc exp pull <remote> {name}` or `git fetch` brings what is elsewhere"
        ) from None


def read(commit: str | None, path: str) -> bytes:
    """A file as a commit has it, or as it is in the workspace where `commit` is None.

    Raises:
        ExperimentError: there is none.
    """
    try:
        return Path(path).read_bytes() if commit is None else git("show", f"{commit}:./{path}")
    except (ExperimentError, FileNotFoundError):
        where = "the workspace" if commit is None else commit[:7]
        raise ExperimentError(f"{path}: not in {where}; that needs a commit, an experiment, of this project") from None


def checksum_of(commit: str | None, path: str) -> str | None:
    """MD5 sum of a file as a commit or the workspace has it, None where there is none."""
    try:
        return hashlib.md5(read(commit, path), usedforsecurity=False).hexdigest()
    except ExperimentError:
        return None


def document(commit: str | None, path: str) -> dict[str, Any]:
    """A YAML or JSON file as a commit or the workspace has it.

    Raises:
        ExperimentError: there is none, or it is no mapping.
    """
    try:
        text = read(commit, path).decode("utf-8")
        content = json.loads(text) if path.endswith(".json") else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ExperimentError(f"{path} in {commit or 'the workspace'}: can't be read: {error}") from None
    if not isinstance(content, dict):
        raise ExperimentError(f"{path} in {commit or 'the workspace'}: expected a mapping")
    return content


def dependencies(commit: str) -> dict[str, str | None]:
    """What `train` depended on, with MD5 sums, by the commit's dvc.lock.

    Raises:
        ExperimentError: there is none.
    """
    return {item["path"]: item.get("md5") for item in document(commit, "dvc.lock")["stages"]["train"]["deps"]}


def trained(commit: str) -> tuple[ModelParams, TrainParams]:
    """With which params.

    Raises:
        ExperimentError: there is no params.yaml.
        ParamsError: they are not those of this code.
    """
    params = document(commit, "params.yaml")
    return sections({}, {name: params.get(name) or {} for name in SECTIONS})


def measured(commit: str) -> Measured:
    """Params and metrics of an experiment.

    Raises:
        ExperimentError: it was not run up to `evaluate`.
        ParamsError: its params are not those of this code.
    """
    model, train = trained(commit)
    metrics = document(commit, "results/train/metrics.json")
    evaluated = document(commit, "results/evaluate/metrics.json")
    rows = csv.DictReader(read(commit, _CURVE).decode("utf-8").splitlines(), delimiter="\t")
    return Measured(
        model,
        train,
        evaluated["parameters"],
        metrics["validation"]["accuracy"],
        tuple(float(row["accuracy"]) for row in rows),
        metrics["train"]["loss"],
        evaluated["accuracy"],
    )
