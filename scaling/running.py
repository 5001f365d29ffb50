"""The pipeline run as a DVC experiment of a given name, with given params, in a folder beside the workspace."""

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from scaling.experiments import ExperimentError, checksum_of, dependencies, document, experiments, trained
from scaling.records import SWEEPS
from scaling.settings import Base, sections

_LOCK = ".running"


def ensure(label: str, base: Base, settings: Mapping[str, Any]) -> str:
    """Commit of the DVC experiment of that name, which is run if it is not there.

    Args:
        label: name of the experiment.
        base: params that hold where `settings` say nothing, whatever the workspace has.
        settings: such as {"train.seed": 1}.

    Raises:
        ParamsError: params.yaml could not hold that.
        ExperimentError: the run fails; or there is one of that name, with other params or by other code.
    """
    wanted = sections(settings, base)
    commit = experiments().get(label)
    if commit is None:
        here = document(None, "params.yaml")
        differing = {
            f"{section}.{key}": value
            for section, values in base.items()
            for key, value in values.items()
            if here.get(section, {}).get(key) != value
        }
        commit = pipeline(label, differing | dict(settings))
    elif changed := changed_code(commit):
        raise ExperimentError(
            f"{label}: there is an experiment of this name by another {', '.join(changed)}; go back to that, remove "
            f"the experiment with `dvc exp remove {label}`, or give the sweep another name"
        )
    if trained(commit) != wanted:
        raise ExperimentError(
            f"{label}: there is an experiment of this name with other params; "
            f"remove it with `dvc exp remove {label}`, or give the sweep another name"
        )
    return commit


def changed_code(commit: str) -> list[str]:
    """Files of code on which `train` depends, and which are not here as the experiment had them."""
    deps = dependencies(commit)
    return [path for path, md5 in deps.items() if path.endswith(".py") and checksum_of(None, path) != md5]


def pipeline(label: str, settings: Mapping[str, Any]) -> str:
    """Run an experiment in a folder of its own, as far as `evaluate`, and return its commit.

    One that another process has made meanwhile is not run again.

    Raises:
        ExperimentError: it fails. Its text ends with what was printed last.
    """
    # JSON is what DVC's grammar for values takes, too: [16,48], true, 1e-05, "sgd".
    overrides = [f"--set-param={key}={json.dumps(value, separators=(',', ':'))}" for key, value in settings.items()]
    # Not --queue: `--run-all` would start whatever else is waiting there.
    # --pull: a sweep needs three files of the data, and the driver of a cluster's none of them.
    command = ["dvc", "exp", "run", "--temp", "--pull", "--name", label, *overrides, "evaluate"]
    with alone() as lock:
        if commit := experiments().get(label):
            return commit
        # It has the lock as well: should it outlive this process, the next one waits for it.
        answer = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, pass_fds=(lock,)
        )
    commit = experiments().get(label)
    if answer.returncode or commit is None:
        last = "\n".join(answer.stdout.strip().splitlines()[-15:])
        raise ExperimentError(f"`dvc exp run --temp --name {label}` failed:\n{last}")
    return commit


@contextmanager
def alone() -> Iterator[int]:
    """Wait until no other sweep of this folder runs an experiment: DVC would give up on its own lock after 3 seconds.

    Yields:
        the file that is locked.
    """
    SWEEPS.mkdir(exist_ok=True)
    with (SWEEPS / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waits until another sweep's experiment has ended", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
