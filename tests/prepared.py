"""What is costly to prepare: whichever of the tests' processes needs it first makes it, for all of them."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def prepared(factory: pytest.TempPathFactory, name: str, prepare: Callable[[Path], object]) -> Path:
    """The folder of that name, which `prepare` has made in this run of the tests.

    Do not change it, and run nothing there that does so for a moment: another process may be copying it.
    """
    common = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent  # of the folders that each process has for itself
    folder, done = common / name, common / f"{name}.done"
    with (common / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that got stuck
            prepare(folder)
            done.touch()
    return folder
