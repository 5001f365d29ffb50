"""What the project knew at a Git revision, or knows in the workspace, read without DVC from what Git tracks."""

import csv
import dataclasses
import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from digits.errors import PipelineError

PARAMS = "params.yaml"
LOCK = "dvc.lock"
PIPELINE = "dvc.yaml"
EVALUATION = "results/evaluate/metrics.json"
VERDICT = "results/check/verdict.json"
LOSS = "results/train/plots/metrics/train/loss.tsv"

# Bytes of a file of the project, or None where there is no such file.
Reader = Callable[[str], bytes | None]
# LibYAML where PyYAML was built with it: ten times as quick, and dvc.lock is long.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
        outs = [out for stage in self.lock.values() for out in stage.get("outs", [])]
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
        answer = subprocess.run(["git", "show", f"{commit}:./{path}"], capture_output=True, check=False)
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

    def load(path: str) -> dict[str, Any]:
        content = read(path)
        try:
            value = {} if content is None else _parse(path, content)
        except (ValueError, yaml.YAMLError, RecursionError):
            value = None
        if not isinstance(value, dict):
            problems.append(path)
            return {}
        return value

    files = {path: load(path) for path in metric_files(load(PIPELINE))}
    return Snapshot(
        params=flat(load(PARAMS)),
        metrics={path: flat(content) for path, content in files.items() if content},
        lock=_stages(load(LOCK)),
        verdict=_verdict(load(VERDICT), problems),
        loss=_curve(read(LOSS), problems),
        problems=problems,
    )


def recorded_lock(read: Reader) -> dict[str, Any]:
    """What dvc.lock says about each stage; nothing where there is none."""
    try:
        return _stages(_parse(LOCK, read(LOCK) or b"{}"))
    except (ValueError, yaml.YAMLError):
        return {}


def _stages(lock: dict[str, Any]) -> dict[str, Any]:
    return {name: stage for name, stage in (lock.get("stages") or {}).items() if isinstance(stage, dict)}


def _parse(path: str, content: bytes) -> Any:
    text = content.decode()
    return json.loads(text) if path.endswith(".json") else yaml.load(text, _LOADER)  # noqa: S506, a safe loader


def metric_files(pipeline: dict[str, Any]) -> list[str]:
    """Files that dvc.yaml calls metrics, at top level and in its stages."""
    listed = list(pipeline.get("metrics") or [])
    for stage in (pipeline.get("stages") or {}).values():
        listed += stage.get("do", stage).get("metrics") or []
    paths = [path for entry in listed for path in (entry if isinstance(entry, dict) else [entry])]
    return sorted({str(path) for path in paths}, key=lambda path: (path != EVALUATION, path))


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots, as DVC joins them."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        result |= flat(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return result


def _verdict(content: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    limits = content.get("limits", [])
    known = {"metric", "relation", "limit", "value", "margin", "passed"}
    if content and not (isinstance(limits, list) and all(isinstance(x, dict) and known <= x.keys() for x in limits)):
        problems.append(VERDICT)
        return {}
    return content


def _curve(content: bytes | None, problems: list[str]) -> list[tuple[float, float]]:
    try:
        rows = csv.DictReader((content or b"").decode().splitlines(), delimiter="\t")
        return [(float(row["step"]), float(row["loss"])) for row in rows]
    except (ValueError, KeyError, TypeError):
        problems.append(LOSS)
        return []
