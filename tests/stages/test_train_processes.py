"""The stage in two processes: what they write, once, and what is left if one of them ends too soon."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from digits import weights
from digits.storage import read_arrays
from digits.training import accuracy
from stages import train
from tests import synthetic

ROOT = Path(__file__).parents[2]
LOSSES = Path("results/train/plots/metrics/train/loss.tsv")


def python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        python(*arguments), cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


def written(folder: Path) -> dict[str, bytes]:
    """All files of a folder but the time that it took."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "params.yaml"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if "timings" not in path.parts}


def test_the_param_starts_them_and_the_result_is_torchrun_s(pipeline):
    before = written(pipeline)
    synthetic.write_params(pipeline, train={"processes": 2})
    answer = run(pipeline, "stages.train")
    assert (answer.returncode, answer.stderr) == (0, "")
    own = written(pipeline)
    assert own.keys() == before.keys()  # so nothing is there twice, or under another name
    assert own[str(train.WEIGHTS)] != before[str(train.WEIGHTS)]
    with LOSSES.open() as file:
        assert [row["step"] for row in csv.DictReader(file, delimiter="\t")] == ["20", "31", "40", "60", "62"]
    images, labels = map(torch.from_numpy, read_arrays(train.VALIDATION, "images", "labels"))
    assert accuracy(weights.load(train.WEIGHTS)[0], images, labels) > 0.9

    train.WEIGHTS.unlink()
    synthetic.write_params(pipeline)
    answer = run(pipeline, "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "stages.train")
    assert answer.returncode == 0, answer.stderr
    assert written(pipeline) == own


def test_if_they_diverge_one_says_so_and_the_old_weights_stay(pipeline):
    before = train.WEIGHTS.read_bytes()
    statistics = train.STATISTICS.read_text()
    train.STATISTICS.write_text(statistics.replace('"pixel_mean": ', '"pixel_mean": 1e39, "was": ', 1))
    synthetic.write_params(pipeline, train={"processes": 2, "whitening": False})
    answer = run(pipeline, "stages.train")
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: the loss became nan at step 20 of 62; lower train.learning_rate (0.05)")
    assert len(answer.stderr.splitlines()) == 1
    assert train.WEIGHTS.read_bytes() == before
    assert not [*pipeline.rglob("*.part")]


FAULTS = {
    "error": "error: somewhere: No space left on device\n  free some space, then run the same command again: finished "
    "outputs are kept\n",
    "kill": "error: process 1 of 2 was killed by SIGKILL; if memory ran out, use fewer processes (train.processes)\n",
}


@pytest.mark.parametrize("how", FAULTS)
def test_if_one_ends_all_end_and_the_old_weights_stay(pipeline, how):
    before = train.WEIGHTS.read_bytes()
    synthetic.write_params(pipeline, train={"epochs": 2, "processes": 2})
    answer = run(pipeline, "tests.stages.faulty", how)
    assert (answer.returncode, answer.stderr) == (1, FAULTS[how])
    assert train.WEIGHTS.read_bytes() == before
    assert not [*pipeline.rglob("*.part")]


def test_none_goes_on_if_what_started_them_is_killed(pipeline):
    before = train.WEIGHTS.read_bytes()
    LOSSES.unlink()
    synthetic.write_params(pipeline, train={"epochs": 1000, "processes": 2})
    process = subprocess.Popen(python("stages.train"), env=environment())
    until = time.monotonic() + 300
    while not LOSSES.exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len([child for child in children if "stages.train" in child.cmdline()]) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    assert train.WEIGHTS.read_bytes() == before
