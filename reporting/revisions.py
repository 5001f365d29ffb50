"""What the project knew at a Git revision, or knows in the workspace, read without DVC from what Git tracks."""

import csv
import dataclasses
import math
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from digits.errors import PipelineError
from reporting.parsing import items, mapping, parse

PARAMS = "params.yaml"
LOCK = "dvc.lock"
PIPELINE = "dvc.yaml"
EVALUATION = "results/evaluate/metrics.json"
VERDICT = "results/check/verdict.json"
LOSS = "results/train/plots/metrics/train/loss.tsv"

# Bytes of a file of the project, or None where there is no such file.
Reader = Callable[[str], bytes | None]


class RevisionError(PipelineError):
    """The revision to compare with is not in this repository."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The project at one moment. What is missing is empty; what can't be read is empty and named in `problems`."""

    params: dict[str, Any]  # dotted key: value
    metrics: dict[str, dict[str, Any]]  # file: dotted key: value
    lock: dict[str, Any]  # stage: what dvc.lock says about it
    verdict: dict[str, Any]
    loss: list[tuple[float, float]]  # step, loss
    problems: list[str]

    @property
    def evaluation(self) -> dict[str, Any]:
        """Metrics of the model that would ship."""
        return self.metrics.get(EVALUATION, {})

    def checksum(self, path: str) -> str | None:
        """MD5 sum of an output as dvc.lock has it."""
        return checksum(self.lock, path)


def checksum(lock: dict[str, Any], path: str) -> str | None:
    """MD5 sum of an output as the stages of a dvc.lock have it."""
    outs = [out for stage in lock.values() for out in stage.get("outs", [])]
    return next((str(out["md5"]) for out in outs if out.get("path") == path and "md5" in out), None)


def git(*arguments: str) -> str | None:
    """What Git answers, or None where it fails."""
    answer = subprocess.run(["git", *arguments], capture_output=True, check=False)
    return answer.stdout.decode(errors="replace").strip() if answer.returncode == 0 else None


def resolve(revision: str) -> str:
    """Full name of the commit that `revision` means.

    Raises:
        RevisionError: there is none. Its text says how to get it.
    """
    commit = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        remote, _, branch = revision.partition("/")
        fetch = f"git fetch {shlex.quote(remote)} {shlex.quote(branch)}" if branch else "git fetch --all"
        raise RevisionError(
            f"base revision {revision!r} is not in this repository; fetch it with `{fetch}`, "
            f"or name another: make report BASE=<branch, tag or commit>"
        )
    return commit


def committed(commit: str) -> Reader:
    """Reader of files as a commit has them."""

    def read(path: str) -> bytes | None:
        try:
            answer = subprocess.run(["git", "show", f"{commit}:./{path}"], capture_output=True, check=False)
        except (OSError, ValueError):  # no path at all: too long, or with a zero in it
            return None
        return answer.stdout if answer.returncode == 0 else None

    return read


def workspace(path: str) -> bytes | None:
    """Read a file as it is now."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError):
        return None


def snapshot(read: Reader) -> Snapshot:
    """Read everything that the report compares."""
    problems: list[str] = []

    def load(path: str, take: Callable[[dict[str, Any]], Any] = flat) -> Any:
        try:
            return take(parse(path, read(path)))
        except ValueError:
            problems.append(path)
            return take({})

    files = {path: load(path) for path in load(PIPELINE, metric_files)}
    return Snapshot(
        params=load(PARAMS),
        metrics={path: content for path, content in files.items() if content},
        lock=load(LOCK, stages),
        verdict=load(VERDICT, _verdict),
        loss=_curve(read(LOSS), problems),
        problems=problems,
    )


def recorded_lock(read: Reader) -> dict[str, Any]:
    """What dvc.lock says about each stage; nothing where there is none that can be read."""
    try:
        return stages(parse(LOCK, read(LOCK)))
    except ValueError:
        return {}


def metric_files(pipeline: dict[str, Any]) -> list[str]:
    """Files that dvc.yaml calls metrics, at top level and in its stages.

    Raises:
        ValueError: it is not in the form of a dvc.yaml.
    """
    entries = [*items(pipeline.get("metrics", []))]
    for stage in mapping(pipeline.get("stages", {})).values():
        entries += items(mapping(mapping(stage).get("do", stage)).get("metrics", []))
    paths = [path for entry in entries for path in ([entry] if isinstance(entry, str) else mapping(entry))]
    return sorted(set(paths), key=lambda path: (path != EVALUATION, path))


def stages(lock: dict[str, Any]) -> dict[str, Any]:
    """What a dvc.lock says about each stage.

    Raises:
        ValueError: it is not in the form of a dvc.lock.
    """
    found = mapping(lock.get("stages", {}))
    for stage in found.values():
        mapping(mapping(stage).get("params", {}))
        for part in ("deps", "outs"):
            if not all(isinstance(mapping(item).get("path"), str) for item in items(stage.get(part, []))):
                raise ValueError(f"{part} without a path")
    return found


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots, as DVC joins them."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        result |= flat(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return result


def same(old: Any, new: Any) -> bool:
    """Whether two values are equal. What is no number (NaN) is the same as itself, which == denies."""
    nan = [isinstance(value, float) and math.isnan(value) for value in (old, new)]
    return all(nan) or bool(old == new)


def _verdict(content: dict[str, Any]) -> dict[str, Any]:
    for limit in items(content.get("limits", [])):
        words = [mapping(limit).get(key) for key in ("metric", "relation")]
        known = {"limit", "value", "margin", "passed"} <= limit.keys()
        if not known or not all(isinstance(word, str) for word in words):
            raise ValueError("no limit")
    return content


def _curve(content: bytes | None, problems: list[str]) -> list[tuple[float, float]]:
    try:
        rows = csv.DictReader((content or b"").decode().splitlines(), delimiter="\t")
        return [(float(row["step"]), float(row["loss"])) for row in rows]
    except (ValueError, KeyError, TypeError, csv.Error):
        problems.append(LOSS)
        return []
