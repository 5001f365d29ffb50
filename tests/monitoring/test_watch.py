import json
import shutil
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from delivery.history import History
from delivery.schema import LogError
from delivery.settings import SettingsError
from digits.storage import write_arrays
from monitoring import watch
from monitoring.shifts import moved
from tests.monitoring.logged import ROOT
from tests.monitoring.traffic import REFERENCE


@pytest.fixture
def told(tmp_path, monkeypatch, capsys, logged):
    """What a run of the command prints."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    write_arrays(tmp_path / "deployments/staging/versions/v1/reference.npz", **vars(REFERENCE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_LOG_URL", f"sqlite:///{tmp_path}/log.db")
    monkeypatch.setattr(sys, "argv", ["watch", "--stage", "staging"])

    def run() -> list[str]:
        logged.now += 10_000_000
        monkeypatch.setattr(watch, "now", lambda: logged.now)
        watch.main()
        return capsys.readouterr().out.splitlines()

    return run


def test_windows_and_alerts_are_told_once_over_restarts(logged, told):
    logged.predict(100)
    (line,) = told()
    assert "v1, 100 predictions: data drift ok, label shift too little data" in line
    logged.predict(100, change=lambda images, probabilities: (moved(images, 3), probabilities))
    assert [text.split(",")[0] for text in told()[1:]] == ["FIRING alert 1"]
    assert told() == []
    logged.predict(200)
    assert told()[-1].endswith(": back to normal")


def test_a_stage_that_is_none_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["watch", "--stage", "../staging"])
    with pytest.raises(SettingsError, match=r"stage '\.\./staging' is none of params\.yaml's"):
        watch.main()
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_it_goes_on_until_it_is_interrupted(logged, told, monkeypatch, capsys):
    logged.predict(100)
    monkeypatch.setattr(sys, "argv", ["watch", "--stage", "staging", "--every", "7"])
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt
        logged.predict(100)
        logged.now += 10_000_000

    monkeypatch.setattr(watch.time, "sleep", sleep)
    assert [line.split(",")[-1] for line in told()] == [*[" accuracy too little data"] * 3, "stopped"]
    assert slept == [7, 7, 7]


def test_two_that_watch_one_stage_would_forget_what_the_other_saw(logged, told):
    logged.predict(100)
    with (
        watch.only_one(Path("logs/staging-monitoring.json")),
        pytest.raises(watch.WatchedError, match=r"^logs/staging-monitoring\.json: another process watches this stage"),
    ):
        told()
    assert len(told()) == 1


def test_a_log_that_can_not_be_read_for_a_while_is_told_once_and_costs_nothing(logged, told, monkeypatch):
    logged.predict(100)
    monkeypatch.setattr(sys, "argv", ["watch", "--stage", "staging", "--every", "7"])
    readable, kept = History.predictions, []

    def unreadable(*_arguments):
        raise OperationalError("SELECT", {}, Exception("disk I/O error"))

    def sleep(_seconds: float) -> None:
        kept.append(json.loads(Path("logs/staging-monitoring.json").read_text()))
        if len(kept) == 4:
            raise KeyboardInterrupt
        monkeypatch.setattr(History, "predictions", unreadable if len(kept) < 3 else readable)
        logged.now += 10_000_000

    monkeypatch.setattr(watch.time, "sleep", sleep)
    assert [line for line in told() if "error" in line] == ["error: the log can't be read: disk I/O error"]
    said = "the log can't be read: disk I/O error"
    assert [state["error"] for state in kept] == ["", said, said, ""]
    assert all(len(state["windows"]) == 1 for state in kept)
    assert len({state["looked"] for state in kept}) == 4
    # Once alone, it is told by the exit code.
    monkeypatch.setattr(sys, "argv", ["watch", "--stage", "staging"])
    monkeypatch.setattr(History, "predictions", unreadable)
    with pytest.raises(LogError, match="disk I/O error"):
        told()


def test_a_damaged_reference_is_told_once_and_the_others_are_judged(logged, told, tmp_path, monkeypatch):
    versions = tmp_path / "deployments/staging/versions"
    shutil.copytree(versions / "v1", versions / "v2")
    (versions / "v1/reference.npz").write_bytes(b"nothing of the kind")
    monkeypatch.setattr(sys, "argv", ["watch", "--stage", "staging", "--every", "7"])
    kept = []

    def sleep(_seconds: float) -> None:
        kept.append(json.loads(Path("logs/staging-monitoring.json").read_text()))
        if len(kept) == 3:
            raise KeyboardInterrupt
        logged.now += 10_000_000
        monkeypatch.setattr(watch, "now", lambda: logged.now)

    monkeypatch.setattr(watch.time, "sleep", sleep)
    logged.predict(100, "v1")
    logged.predict(100, "v2")
    lines = told()
    (said,) = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    assert "versions/v1/reference.npz: not an archive" in said
    assert [state["error"] for state in kept] == [said] * 3
    assert any("v2, 100 predictions: data drift ok" in line for line in lines)
    # Once alone, it is told by the exit code, after what was found.
    monkeypatch.setattr(sys, "argv", ["watch", "--stage", "staging"])
    logged.predict(100, "v2")
    with pytest.raises(watch.WatchedError, match=r"not an archive"):
        told()
    assert len(json.loads(Path("logs/staging-monitoring.json").read_text())["windows"]) == 3
