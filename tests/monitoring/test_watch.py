import shutil
import sys

import pytest

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
