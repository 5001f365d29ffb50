import fcntl
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scaling import running
from scaling.experiments import ExperimentError
from tests.e2e.project import wait_for
from tests.scaling import lab

ROOT = Path(__file__).parents[2]


@pytest.fixture
def dvc(tmp_path, monkeypatch):
    """A program of that name that notes its arguments down and fails; the working folder is a repository."""
    monkeypatch.chdir(tmp_path)
    lab.repository(tmp_path)
    program = tmp_path / "bin/dvc"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open('arguments', 'w'))\n"
        "[print('line', number) for number in range(30)]\nsys.exit('ERROR: failed to reproduce train')\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return tmp_path / "arguments"


def test_the_pipeline_runs_beside_the_workspace_and_says_why_it_failed(dvc):
    settings = {
        "model.channels": [4, 8],
        "train.learning_rate": 1e-5,
        "train.whitening": True,
        "train.optimizer": "sgd",
    }
    with pytest.raises(ExperimentError) as error:
        running.pipeline("night", settings)
    assert json.loads(Path(dvc).read_text()) == [
        *("exp", "run", "--temp", "--pull", "--name", "night"),
        *("--set-param=model.channels=[4,8]", "--set-param=train.learning_rate=1e-05"),
        *("--set-param=train.whitening=true", '--set-param=train.optimizer="sgd"', "evaluate"),
    ]
    assert "failed to reproduce train" in str(error.value)
    assert "line 29" in str(error.value)
    assert "line 3\n" not in str(error.value)


def test_what_another_process_has_made_meanwhile_is_not_run_again(dvc):
    made = lab.experiment("night")
    assert running.pipeline("night", {}) == made
    assert not Path(dvc).exists()


def test_an_experiment_that_outlives_its_process_is_waited_for(dvc, tmp_path):
    """DVC has the lock as well, here the program of that name."""
    (tmp_path / "bin/dvc").write_text(
        f"#!{sys.executable}\nimport os, sys, time\nfrom pathlib import Path\n"
        "Path('started').touch()\nos.close(1), os.close(2)\nwhile not Path('go on').exists(): time.sleep(0.01)\n"
    )
    script = "from scaling import running; running.pipeline('night', {})"
    process = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        wait_for(lambda: (tmp_path / "started").exists() or process.poll() is not None)
        assert process.poll() is None
        process.kill()
        process.wait()
        with (running.SWEEPS / running._LOCK).open("w") as lock:
            assert not locked(lock)
            (tmp_path / "go on").touch()
            wait_for(lambda: locked(lock))
    finally:
        process.kill()
        process.wait()
        (tmp_path / "go on").touch()


def locked(file) -> bool:
    """Whether the lock was to be had."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_of_two_sweeps_one_waits_until_the_other_s_experiment_has_ended(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Not pytest's capture: reading it empties it, and what the thread writes at that moment is lost.
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    order = []

    def other():
        with running.alone():
            order.append("other")

    with running.alone():
        thread = threading.Thread(target=other, daemon=True)
        thread.start()
        wait_for(lambda: said.getvalue().endswith("\n") or not thread.is_alive())
        order.append("first")
    thread.join(timeout=300)
    assert said.getvalue() == "waits until another sweep's experiment has ended\n"
    assert order == ["first", "other"]
