import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from delivery.schema import SECOND, now
from digits.storage import write_arrays
from monitoring import state, watcher
from monitoring.alerts import Level
from monitoring.result import Detector
from monitoring.state import State
from monitoring.watcher import Watcher
from tests.monitoring.logged import ROOT
from tests.monitoring.traffic import REFERENCE

PATH = state.path("staging")


@pytest.fixture
def traffic(tmp_path, monkeypatch, logged):
    """A folder as a service has it, with a window of predictions in the log."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    write_arrays(tmp_path / "deployments/staging/versions/v1/reference.npz", **vars(REFERENCE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MNIST_LOG_URL", f"sqlite:///{tmp_path}/log.db")
    logged.now = now() - 60 * SECOND  # the watcher's clock is the real one
    logged.predict(100)


def wait_for(what):
    """Until `what` says something, half a minute at most."""
    for _ in range(600):
        if answer := what():
            return answer
        time.sleep(0.05)
    raise AssertionError("it did not come")


def watches(path: Path = PATH) -> int | None:
    """The process that holds the lock, asked of the system."""
    inode = str(path.with_suffix(".lock").stat().st_ino) if path.with_suffix(".lock").exists() else "none"
    held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return next((int(fields[4]) for fields in held if "->" not in fields and fields[5].endswith(f":{inode}")), None)


def test_what_the_process_finds_is_read_and_another_one_takes_over(traffic):
    with Watcher("staging", PATH, 0.1) as first:
        assert first.state == State()
        (window,) = wait_for(lambda: first.state.windows)
        assert (window.version, window.n, window.levels[Detector.DATA_DRIFT]) == ("v1", 100, Level.OK)
        assert not first.error
        process = watches()
        with Watcher("staging", PATH, 0.1) as second:
            assert second.state.windows == (window,)
            os.kill(process, signal.SIGKILL)
            assert wait_for(lambda: (now := watches()) != process and now)
            wait_for(lambda: first.error)
            assert first.error == "the watcher ended with -9"
            assert not second.error
    assert watches() is None


def test_one_that_ends_is_started_again(traffic, monkeypatch):
    monkeypatch.setattr(watcher, "_PATIENCE", 0.1)
    PATH.parent.mkdir()
    PATH.write_text("{")
    with Watcher("staging", PATH, 0.1) as watched:
        wait_for(lambda: watched.error.startswith("error: logs/staging-monitoring.json: not monitoring's state"))
        PATH.unlink()
        wait_for(lambda: watched.state.windows)
        wait_for(lambda: not watched.error)


def test_it_ends_with_a_service_that_is_killed(traffic):
    service = (
        "import time; from monitoring.watcher import Watcher; from pathlib import Path\n"
        f"with Watcher('staging', Path('{PATH}'), 0.1): time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", service]) as running:
        wait_for(watches)
        running.kill()
    wait_for(lambda: watches() is None)
