"""What is made of a sweep for the frontier. Nothing is trained for it."""

import sys
from pathlib import Path

import pytest

from benchmarks import frontier
from digits.errors import PipelineError
from scaling.frontier import Point
from scaling.keep import KeepError
from tests.reporting.github import cells
from tests.scaling import lab


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Runs the benchmark in a small repository; returns what it publishes."""
    monkeypatch.chdir(tmp_path)
    lab.repository(tmp_path)
    monkeypatch.setattr(frontier, "RESULTS", tmp_path)
    found = {}

    def sweep(name, trials):
        records = [
            lab.record(f"{n:05}", {"train.learning_rate": n + 1}, parameters=size, validation_accuracy=accuracy)
            for n, (size, accuracy) in enumerate([(400, 0.95), (410, 0.96), (3000, 0.98), (2900, 0.97), (9000, 0.975)])
        ]
        lab.sweep(name, *records, lab.record("00009", state="failed", validation_accuracy=None, loss=None))

    def pipeline(label, settings):
        for record in frontier.records.read("frontier"):
            if record["settings"].items() <= settings.items() and record["settings"]:
                accuracy = record["validation_accuracy"]
                return lab.experiment(label, settings, validation=accuracy, parameters=record["parameters"])
        return lab.experiment(label, settings, test=0.99, parameters=20_000)

    monkeypatch.setattr(frontier, "sweep", sweep)
    monkeypatch.setattr(frontier.running, "pipeline", pipeline)
    monkeypatch.setattr(frontier, "publish", lambda name, command, body, *packages: found.update({command: body}))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["frontier", *arguments])
        frontier.main()
        ((command, body),) = found.items()
        return command, body

    return run


def test_a_row_is_a_network_of_the_sweep_or_says_who_chose_it(published):
    command, body = published("--trials=6", "--points=2", "--seeds=2")
    assert command == "python -m benchmarks.frontier --trials 6 --points 2 --seeds 2"
    _, *rows = cells(body.partition("\n\n")[0])
    assert [row[0] for row in rows] == ["400", "3,000", "20,000", "20,000"]
    assert [row[2] for row in rows[:2]] == ["1", "3"]
    assert [row[1].rpartition(" (")[2] for row in rows[2:]] == ["default)", "four-convolutions)"]
    assert list(rows[0][3:]) == ["95.00 ± 0.00", "95.00"]
    assert "2 seeds each" in body
    assert "5 trials finished; of the 4 that no smaller one beats on the validation images, 2 were kept" in body
    assert Path("frontier.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_network_without_all_its_seeds_is_not_published(published, monkeypatch):
    pipeline = frontier.running.pipeline

    def fails(label, settings):
        if label.endswith("-seed1"):
            raise PipelineError("no room")
        return pipeline(label, settings)

    monkeypatch.setattr(frontier.running, "pipeline", fails)
    with pytest.raises(KeepError, match="sweep-frontier-00000-seed1"):
        published("--trials=6", "--points=2", "--seeds=2")


@pytest.mark.parametrize("begun", [False, True])
def test_a_sweep_that_was_begun_goes_on(tmp_path, monkeypatch, begun):
    monkeypatch.chdir(tmp_path)
    lab.repository(tmp_path)
    if begun:
        lab.sweep("frontier")
    calls = []
    monkeypatch.setattr(frontier.subprocess, "run", lambda command, check: calls.append(command[3:]))
    frontier.sweep("frontier", 120)
    new = ["--name=frontier", "--space=scaling/frontier.yaml"]
    assert calls == [[*(["--resume=frontier"] if begun else new), "--trials=120", "--keep=0"]]


def test_a_network_is_a_row_of_its_seeds():
    point = Point(("a", "b"), 1241, "Conv5 5", 0.2, (0.9840, 0.9850))
    assert frontier.row(point) == ["1,241", "Conv5 5", "0.2", "98.45 ± 0.07", "98.40"]
    assert frontier.row(point, "default")[1] == "Conv5 5 (default)"
