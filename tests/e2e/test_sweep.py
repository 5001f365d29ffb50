"""Sweeps on real data and a local Ray: records are what the pipeline comes to, and a killed driver loses nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.e2e.project import FAST, Project

pytestmark = pytest.mark.e2e

SPACE = """\
model.channels: [{ integer: [3, 5] }, { integer: [4, 8] }]
train.learning_rate: { loguniform: [0.05, 0.8] }
train.batch_size: { choice: [256, 512] }
"""
TRIALS = 7
SWEEP = (sys.executable, "-m", "scaling.sweep")
ALONE = ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0))), *SWEEP)  # one processor, so one worker
NEW = ("--space=space.yaml", f"--trials={TRIALS}", "--keep=0")
SECONDS = 300  # after which a process is given up


@pytest.fixture(scope="module")
def lab(pulled, tmp_path_factory) -> Project:
    project = pulled.copy(tmp_path_factory.mktemp("lab") / "project")
    project.change(FAST | {"train.validations": 3})
    (project / "space.yaml").write_text(SPACE)
    project.commit("a space")
    return project


@pytest.fixture(scope="module")
def whole(lab) -> list[dict]:
    """The trials of a sweep on one processor, one after the other."""
    lab.run(*ALONE, *NEW, "--name=whole")
    return trials(lab, "whole")


def trials(project: Project, name: str) -> list[dict]:
    path = project / f"sweeps/{name}/trials.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def outcome(records: list[dict]) -> list[tuple]:
    """What does not depend on how long it took, and where."""
    return [(record["trial"], record["settings"], record["state"], record["curve"]) for record in records]


def test_each_trial_is_recorded_once(whole):
    assert [record["trial"] for record in whole] == [f"{number:05}" for number in range(TRIALS)]
    states = [record["state"] for record in whole]
    assert set(states) == {"finished", "stopped"}  # ASHA at work
    for record in whole:
        assert record["settings"].keys() == {"model.channels", "train.learning_rate", "train.batch_size"}
        assert record["validations"] == len(record["curve"]) == (3 if record["state"] == "finished" else 1)
        assert record["parameters"] > 100
        assert record["error"] is None


def test_a_finished_trial_is_what_the_pipeline_comes_to(lab, whole, tmp_path):
    record = [record for record in whole if record["state"] == "finished"][-1]  # its worker had others before
    project = lab.copy(tmp_path / "project")
    project.change(record["settings"])
    project.run(sys.executable, "-m", "stages.train")
    metrics = json.loads((project / "results/train/metrics.json").read_text())
    assert metrics["validation"]["accuracy"] == record["validation_accuracy"]
    rows = (project / "results/train/plots/metrics/validation/accuracy.tsv").read_text().splitlines()[1:]
    assert [float(row.split("\t")[1]) for row in rows] == record["curve"]


def test_after_a_kill_and_ctrl_c_nothing_runs_on_and_the_next_one_goes_on_as_if_nothing_had_happened(lab, whole):
    driver = subprocess.Popen((*ALONE, *NEW, "--name=killed"), cwd=lab.path, env=lab.env)
    wait(lambda: len(trials(lab, "killed")) >= 2, driver)
    started = psutil.Process(driver.pid).children(recursive=True)
    assert started
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    _, alive = psutil.wait_procs(started, timeout=SECONDS)
    assert alive == []
    with (lab / "sweeps/killed/trials.jsonl").open("a") as stream:
        stream.write('{"trial": "0')  # as a kill in the middle of a line would leave it

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    driver = subprocess.Popen((*ALONE, "--resume=killed"), cwd=lab.path, env=lab.env, **pipes)
    wait(lambda: len(trials(lab, "killed")) >= 4, driver)
    driver.send_signal(signal.SIGINT)
    out, err = driver.communicate(timeout=SECONDS)
    assert driver.returncode == 130
    assert re.match(rf"sweep killed: [23] of {TRIALS} trials have ended\n", out)
    assert err == "\ninterrupted; what has ended is kept, go on with: make sweep RESUME=killed\n"

    assert f"of {TRIALS} trials have ended" in lab.run(*ALONE, "--resume=killed")
    assert outcome(trials(lab, "killed")) == outcome(whole)


def test_an_error_that_nobody_foresaw_ends_one_trial_and_no_other(lab, tmp_path):
    project = lab.copy(tmp_path / "project")
    code = project / "digits/training.py"
    device = "    device = select_device(params.device)\n"
    broken = (
        "    if params.batch_size == 512:\n        import os; raise RuntimeError(f'device lost in {os.getpid()}')\n"
    )
    code.write_text(code.read_text().replace(device, device + broken))
    (project / "space.yaml").write_text("train.batch_size: { choice: [256, 512] }\n")
    said = project.run(*ALONE, "--space=space.yaml", "--trials=2", "--keep=0", "--name=broken")
    found = {record["settings"]["train.batch_size"]: record for record in trials(project, "broken")}
    assert (found[256]["state"], found[512]["state"]) == ("finished", "failed")
    (first,) = re.findall(r"with RuntimeError: device lost in (\d+); it runs again", said)
    (second,) = re.findall(r"^RuntimeError: device lost in (\d+)$", found[512]["error"])
    assert first != second  # in another process
    assert "Traceback" not in said


def wait(condition, driver: subprocess.Popen) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert driver.poll() is None, "the driver has ended"
        assert time.monotonic() < deadline, "the driver does not get on"
        time.sleep(0.05)
