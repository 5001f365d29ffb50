import shutil
import sys
from datetime import UTC, datetime

import numpy as np
import pytest

from delivery import log as log_module
from delivery.log import PredictionLog, Scored
from delivery.schema import SECOND, LogError
from delivery.settings import SettingsError
from digits import production
from monitoring import earlier, feedback
from monitoring.earlier import EarlierError
from monitoring.feedback import FeedbackError, moment
from tests.monitoring.labels import Images, sent
from tests.monitoring.logged import ROOT

START = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * SECOND


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An empty folder with params.yaml."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MNIST_LOG_URL", raising=False)
    return tmp_path


@pytest.fixture
def log(workspace, monkeypatch):
    """Where the service has it; labels come a day apart, a few each time."""
    log = PredictionLog("sqlite:///logs/staging.db", "staging")
    monkeypatch.setattr(log_module, "now", lambda: START)

    def fill(images: Images, stage: str = "staging", days: int = 1) -> None:
        log.stage = stage
        probabilities = np.eye(10, dtype=np.float32)[images.predicted]
        ids = log.append(Scored("v0.1.0", images.pixels, probabilities, images.predicted.tolist()))
        for place, (key, label, source) in enumerate(zip(ids, images.labels.tolist(), images.sources, strict=True)):
            day = place * days // len(ids)
            monkeypatch.setattr(log_module, "now", lambda day=day: START + day * 86_400 * SECOND)
            log.feedback(key, label, str(source), "10.0.0.1")

    yield fill
    log.close()


def test_what_a_stage_was_told_is_exported(log):
    log(sent(50, seed=1))
    log(sent(50, seed=2), stage="production")
    made = feedback.from_log("staging", None)
    assert (made.provenance["labels"], made.production.dataset) == (50, "MNIST")
    assert made.provenance["versions"] == {"v0.1.0": 50}
    assert feedback.from_log("production", None).provenance["labels"] == 0  # in a log of its own


def test_labels_from_a_day_on_are_exported(log):
    log(sent(50), days=10)
    assert feedback.from_log("staging", "2026-11-06").provenance["labels"] == 25
    assert feedback.from_log("staging", "2026-11-06T01:00").provenance["labels"] == 20
    assert feedback.from_log("staging", "2026-11-06T01:00+02:00").provenance["labels"] == 25


def test_labels_from_a_day_on_are_not_joined_by_older_ones_of_the_export_before(log):
    """The log still has these: they are left out on purpose."""
    log(sent(50), days=10)
    earlier.write(feedback.FOLDER, feedback.from_log("staging", None))
    made = feedback.from_log("staging", "2026-11-06")
    both = feedback.together(made, feedback.FOLDER)
    assert [part.tolist() for part in both.times] == [part.tolist() for part in made.times]


def test_the_same_log_gives_the_same_files(log, tmp_path):
    log(sent(50))
    for folder in ("a", "b"):
        made = feedback.from_log("staging", None)
        production.write(tmp_path / folder, made.production, made.provenance)
    for name in (production.TRAIN, production.HOLDOUT, production.PROVENANCE):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert len(production.read(tmp_path / "a").train.labels) > 30


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "9999-99-99"])
def test_what_is_no_time_is_named(text):
    with pytest.raises(FeedbackError, match=rf"--since: expected a time like 2026-11-01 .* found '{text}'"):
        moment(text)


def run(monkeypatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["feedback", *options])
    feedback.main()


@pytest.mark.parametrize("options", [[], ["--push"]])
def test_where_nothing_was_taken_nothing_changes_and_the_account_says_why(log, workspace, monkeypatch, capsys, options):
    log(sent(30, "simulate"))
    with pytest.raises(FeedbackError, match=r"^there is nothing to train on: no label was taken, see above"):
        run(monkeypatch, "--stage", "staging", *options)
    assert "30 of simulated traffic, which is made of test images\n" in capsys.readouterr().out
    assert sorted(path.name for path in workspace.iterdir()) == ["logs", "params.yaml"]


def test_simulated_traffic_is_taken_where_that_is_asked_for(log):
    log(sent(30, "simulate"))
    assert len(feedback.from_log("staging", None, simulated=True).production.train.labels) > 15


def test_another_stage_s_export_stays_unless_it_is_to_go(log, workspace, monkeypatch, capsys):
    log(sent(50, seed=1))
    earlier.write(feedback.FOLDER, feedback.from_log("staging", None))
    before = (feedback.FOLDER / production.TRAIN).read_bytes()
    monkeypatch.setenv("MNIST_LOG_URL", "sqlite:///logs/staging.db")
    log(sent(60, seed=2), stage="production")
    with pytest.raises(EarlierError, match=r"^the export before is of stage 'staging', this one of 'production', and"):
        run(monkeypatch, "--stage", "production")
    assert (feedback.FOLDER / production.TRAIN).read_bytes() == before
    with pytest.raises(FeedbackError, match="DVC does not track"):  # here is no repository
        run(monkeypatch, "--stage", "production", "--alone")
    alone = feedback.from_log("production", None)
    assert production.read(feedback.FOLDER).train.labels.tolist() == alone.production.train.labels.tolist()
    assert "of exports before" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "^dvc: not found; put the environment on the path"),
        (None, r"^data/production is written, but DVC does not track"),
    ],
)
def test_what_dvc_does_not_track_is_said(log, monkeypatch, path, message):
    log(sent(30))
    if path is not None:
        monkeypatch.setenv("PATH", path)
    with pytest.raises(FeedbackError, match=message):
        run(monkeypatch, "--stage", "staging")


def test_a_stage_that_is_none_and_a_log_that_is_none_are_named(workspace, monkeypatch):
    with pytest.raises(SettingsError, match=r"stage 'live' is none of params\.yaml's"):
        run(monkeypatch, "--stage", "live")
    (workspace / "params.log").write_text("something else")
    monkeypatch.setenv("MNIST_LOG_URL", "sqlite:///params.log")
    with pytest.raises(LogError, match="can't be opened"):
        run(monkeypatch, "--stage", "staging")
