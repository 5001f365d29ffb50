"""An experiment's own stages in a folder of their own, run with one seed after another by one warm process.

Code, params and data are those of the experiment, whatever the workspace has; and since it is the stages that run, what
comes out is what `dvc exp run -S train.seed=...` of that experiment would find, to the bit.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from digits.errors import PipelineError
from digits.storage import read_json, write_text
from scaling.experiments import ExperimentError, document, git, read
from scaling.fetching import without_address

Split = Literal["validation", "test"]

# Stages to run, and where they write the accuracy.
STAGES: dict[Split, tuple[str, ...]] = {"validation": ("train",), "test": ("train", "export", "evaluate")}
_METRICS: dict[Split, tuple[str, tuple[str, ...]]] = {
    "validation": ("results/train/metrics.json", ("validation", "accuracy")),
    "test": ("results/evaluate/metrics.json", ("accuracy",)),
}
_WORKER = Path(__file__).with_name("warm_worker.py")


class WorkerError(PipelineError):
    """The process that trains has ended before its time."""


def prepare(commit: str | None, folder: Path, split: Split) -> None:
    """Put into `folder` what the stages need: code, params and data of a commit, or of the workspace for None.

    Raises:
        ExperimentError: the commit is none of this project, or its data are not to be had.
    """
    params, pipeline, lock = (document(commit, path) for path in ("params.yaml", "dvc.yaml", "dvc.lock"))
    stages, locked = pipeline.get("stages", {}), lock.get("stages", {})
    missing = [name for name in STAGES[split] if name not in stages or name not in locked]
    if missing:
        raise ExperimentError(f"dvc.yaml, dvc.lock: no stage {', '.join(missing)} in {commit or 'the workspace'}")
    needed = [dep for name in STAGES[split] for dep in stages[name]["deps"]]
    _code(commit, folder, sorted({Path(dep).parts[0] for dep in needed if dep.endswith(".py")}))
    write_text(folder / "params.yaml", read(commit, "params.yaml").decode("utf-8"))
    made = {out["path"]: (name, out["md5"]) for name, stage in locked.items() for out in stage.get("outs", [])}
    for path in dict.fromkeys(needed):
        maker, checksum = made.get(path, (None, ""))
        if maker is not None and maker not in STAGES[split]:
            _unchanged(params, maker, locked[maker])
            _data(commit, path, checksum, folder)


def _code(commit: str | None, folder: Path, packages: list[str]) -> None:
    if commit is None:
        for package in packages:
            shutil.copytree(package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        return
    with tarfile.open(fileobj=io.BytesIO(git("archive", "--format=tar", commit, *packages))) as archive:
        archive.extractall(folder, filter="data")


def _unchanged(params: dict[str, Any], maker: str, locked: dict[str, Any]) -> None:
    """Whoever changes `preprocess` has to make the data anew."""
    for section, values in locked.get("params", {}).get("params.yaml", {}).items():
        if params.get(section) != values:
            raise ExperimentError(
                f"params.yaml: {section} is not what dvc.lock says that {maker} ran with, so the data are others; "
                f"run `dvc repro {maker}` first, or for an experiment `dvc exp run ... evaluate`"
            )


def _data(commit: str | None, path: str, checksum: str, folder: Path) -> None:
    """From the workspace, where it has the same file, else from DVC's cache or remote."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    here = Path(path)
    if here.is_file():
        shutil.copyfile(here, target)
        if hashlib.md5(target.read_bytes(), usedforsecurity=False).hexdigest() == checksum:
            return
        target.unlink()
    if commit is None:
        raise ExperimentError(f"{path}: missing, or not what dvc.lock names; run `dvc pull {path}` or `dvc repro`")
    command = ["dvc", "get", "--quiet", ".", path, "--rev", commit, "--out", str(target)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        said = without_address(answer.stderr).strip()
        raise ExperimentError(
            f"{path}: as commit {commit[:7]} has it, it is neither in DVC's cache nor in its remote; "
            f"where the experiment was run, share it with `dvc push` or `dvc exp push`\n{said}".strip()
        )


def scores(folder: Path, seeds: Sequence[int], split: Split) -> Iterator[float | str]:
    """Run the stages in `folder` with one seed after the other.

    Args:
        folder: made by `prepare`, for the same split.
        seeds: values of `train.seed`.
        split: whose accuracy is wanted.

    Yields:
        the accuracy, 0 to 1, or why there is none: a text that says what went wrong with this seed.

    Raises:
        WorkerError: the process ended, for another reason than that the stages tell users.
    """
    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    path, keys = _METRICS[split]
    with _worker(folder, STAGES[split]) as worker:
        assert worker.stdin
        assert worker.stdout
        for seed in seeds:
            params["train"]["seed"] = seed
            write_text(folder / "params.yaml", yaml.safe_dump(params, sort_keys=False))
            with contextlib.suppress(BrokenPipeError):  # that it has ended shows in its answer
                worker.stdin.write("go\n")
                worker.stdin.flush()
            answer = worker.stdout.readline()
            if not answer:
                code = worker.wait()  # only then all of the log is there
                log = (folder / "log").read_text(encoding="utf-8", errors="replace").strip()
                raise WorkerError(f"seed {seed}: the process that trains ended with {code}:\n{log[-2000:]}")
            if error := json.loads(answer)["error"]:
                yield str(error)
                continue
            value: Any = read_json(folder / path)
            for key in keys:
                value = value[key]
            yield float(value)


@contextlib.contextmanager
def _worker(folder: Path, stages: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    # -P: without it the folder of the script would come first, whose name for the stages is another one.
    command = [sys.executable, "-P", str(_WORKER), *stages]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as worker,
    ):
        try:
            yield worker
        finally:
            worker.kill()
