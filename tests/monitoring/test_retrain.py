"""The command, on a log of its own and with a `gh` that writes down what it is asked."""

import dataclasses
import json
import shutil
import stat
import sys
from pathlib import Path

import pytest

from digits.errors import PipelineError
from monitoring import dispatches, retrain, state
from monitoring.dispatches import DispatchesError
from monitoring.github import GitHubError
from monitoring.retrain import RetrainError
from monitoring.shifts import moved
from tests.monitoring.logged import HOUR, ROOT

# Answers with $GH_ANSWER, or fails with $GH_FAILS.
GH = """#!/bin/sh
echo "$@" >> asked.txt
[ "$2" = --method ] && cat >> sent.jsonl && echo >> sent.jsonl
[ -z "$GH_FAILS" ] || { echo "$GH_FAILS" >&2; exit 1; }
[ "$2" = --method ] || echo "${GH_ANSWER:-[]}"
"""


def shifted(images, probabilities):
    return moved(images, 3), probabilities


@pytest.fixture
def exports(monkeypatch):
    """Branches that were pushed."""
    pushed: list[str] = []

    def export(stage: str) -> tuple[str, str]:
        pushed.append(f"feedback/{len(pushed) + 1}")
        return pushed[-1], "c" * 40

    monkeypatch.setattr(retrain, "export", export)
    monkeypatch.setattr(retrain.feedback_branch, "outdated", lambda branch: False)
    return pushed


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, logged, exports):
    """What a run of the command prints, after the monitor has looked."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    gh = tmp_path / "bin/gh"
    gh.parent.mkdir()
    gh.write_text(GH)
    gh.chmod(gh.stat().st_mode | stat.S_IXUSR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{gh.parent}:/usr/bin:/bin")
    monkeypatch.setenv("MNIST_LOG_URL", f"sqlite:///{tmp_path}/log.db")

    def call(*options: str) -> str:
        logged.look()
        state.write(tmp_path / "logs/staging-monitoring.json", logged.state)
        monkeypatch.setattr(retrain, "now", lambda: logged.now)
        monkeypatch.setattr(sys, "argv", ["retrain", "--stage", "staging", *options])
        retrain.main()
        return capsys.readouterr().out

    return call


def sent(folder) -> list[dict]:
    path = folder / "sent.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def test_input_drift_alone_starts_nothing_and_with_labels_that_show_harm_it_does(logged, run, tmp_path, exports):
    logged.predict(100)
    before = logged.predict(100, change=shifted)
    assert "input drift alone; 0 labels since then" in run("--dispatch")
    # Late labels of what was predicted before the alert say nothing of the time since.
    logged.label(before[:49], errors=0)
    assert "input drift alone; 0 labels since then" in run("--dispatch")
    since = logged.predict(100, change=shifted)
    logged.label(since[:50], errors=6)
    assert "retraining is due: alert 1, data drift of v1" in run()
    assert (exports, sent(tmp_path)) == ([], [])
    said = run("--dispatch")
    assert said.endswith("retraining with feedback/1: started\n")
    (request,) = sent(tmp_path)
    assert request["event_type"] == "retrain"
    assert request["client_payload"]["branch"] == "feedback/1"
    assert request["client_payload"]["alert"].split()[-1] == "1"
    assert (tmp_path / "asked.txt").read_text().startswith("api --method POST repos/{owner}/{repo}/dispatches")


def test_labels_of_simulated_traffic_show_no_harm(logged, run):
    """The export leaves them out: nothing would be trained on that has this drift."""
    logged.predict(200, change=shifted)
    run()
    logged.label(logged.predict(100, change=shifted)[:50], errors=20, source="simulate")
    assert "input drift alone; 0 labels since then" in run()


def test_labels_that_count_for_no_alert_show_no_harm(logged, run):
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("label_sources: null", "label_sources: [annotators]"))
    logged.predict(200, change=shifted)
    run()
    logged.label(logged.predict(100, change=shifted)[:50], errors=20, source="page")
    assert "input drift alone; 0 labels since then" in run()
    logged.label(logged.predict(100, change=shifted)[:50], errors=20, source="annotators")
    assert "50 labels since then" in run()


def fallen(logged) -> None:
    """Accuracy falls, and the labels say so."""
    logged.label(logged.predict(200), errors=60)


def test_an_alert_starts_one_retraining_over_restarts_and_the_next_alert_another_one_later(logged, run, exports):
    fallen(logged)
    assert "started" in run("--dispatch")
    assert "no retraining: no alert asks for one" in run("--dispatch")
    assert "error rate since the evidence was nil 1: retraining with feedback/1: started" in run("--dispatch")
    logged.label(logged.predict(200, "v2"), errors=60)
    assert "no retraining: a retraining was started less than 24 hours ago" in run("--dispatch")
    logged.now += 25 * HOUR
    logged.label(logged.predict(200, "v2"), errors=60)
    assert "started" in run("--dispatch")
    assert exports == ["feedback/1", "feedback/2"]


def test_what_came_of_it_is_asked_and_said_with_the_alert(logged, run, monkeypatch):
    fallen(logged)
    run("--dispatch")
    assert ": retraining with feedback/1: started" in run("--dispatch")
    monkeypatch.setenv("GH_FAILS", "HTTP 502")
    assert "what came of feedback/1 is not known: `gh api` failed: HTTP 502" in run("--dispatch")
    monkeypatch.delenv("GH_FAILS")
    statuses = [
        {"context": "another", "state": "success"},
        {
            "context": "retraining",
            "state": "failure",
            "description": "worse: \x1b[31m99 to 98",
            "target_url": "https://x",
        },
        {"context": "retraining", "state": "pending"},
    ]
    monkeypatch.setenv("GH_ANSWER", json.dumps(statuses).replace("\\u001b", "\\\\u001b"))
    said = run()  # to ask changes nothing, so who only wants to know asks, too
    assert ": retraining with feedback/1: not proposed, worse: \\x1b[31m99 to 98 https://x\n" in said
    monkeypatch.setenv("GH_FAILS", "nobody asks any more")
    assert "not proposed, worse" in run("--dispatch")


def test_a_run_that_dies_without_a_word_uses_no_alert_up(logged, run, exports, tmp_path):
    fallen(logged)
    run("--dispatch")
    logged.now += 5 * HOUR
    assert ": retraining with feedback/1: started" in run("--dispatch")
    logged.now += 2 * HOUR
    said = run("--dispatch")
    assert ": retraining with feedback/1: failed, no word of it for 6 hours\n" in said
    assert "no retraining: a retraining was started less than 24 hours ago" in said
    logged.now += 18 * HOUR
    assert run("--dispatch").endswith("retraining with feedback/1: started\n")
    assert run("--dispatch").endswith("no retraining: no alert asks for one\n")
    assert (exports, len(sent(tmp_path))) == (["feedback/1"], 2)


def test_a_branch_that_main_has_gone_past_is_not_sent_again(logged, run, exports, monkeypatch, tmp_path):
    fallen(logged)
    monkeypatch.setenv("GH_FAILS", "HTTP 502")
    with pytest.raises(GitHubError):
        run("--dispatch")
    monkeypatch.delenv("GH_FAILS")
    monkeypatch.setattr(retrain.feedback_branch, "outdated", lambda branch: branch == "feedback/1")
    run("--dispatch")
    assert exports == ["feedback/1", "feedback/2"]
    assert sent(tmp_path)[-1]["client_payload"]["branch"] == "feedback/2"


def test_a_training_that_crashes_uses_no_alert_up(logged, run, exports, monkeypatch):
    fallen(logged)
    run("--dispatch")
    crashed = [{"context": "retraining", "state": "error", "description": "it could not be trained or compared"}]
    monkeypatch.setenv("GH_ANSWER", json.dumps(crashed))
    assert "feedback/1: failed, it could not be trained" in run("--dispatch")
    logged.now += 25 * HOUR
    run("--dispatch")
    assert exports == ["feedback/1", "feedback/2"]  # of the first one's commit it is known that it failed


@pytest.mark.parametrize("before", ["[]", '[{"context": "retraining", "state": "error"}]'], ids=["lost", "error"])
def test_a_run_that_failed_and_was_run_again_is_asked_about_again(logged, run, exports, monkeypatch, before):
    fallen(logged)
    run("--dispatch")
    monkeypatch.setenv("GH_ANSWER", before)
    logged.now += 7 * HOUR
    assert "retraining with feedback/1: failed" in run("--dispatch")
    monkeypatch.setenv("GH_ANSWER", '[{"context": "retraining", "state": "success", "description": "98 to 99"}]')
    logged.now += 20 * HOUR
    said = run("--dispatch")
    assert "retraining with feedback/1: proposed, 98 to 99" in said
    assert "no retraining: no alert asks for one" in said
    assert exports == ["feedback/1"]


def test_without_an_alert_one_is_due_in_time_if_labels_came(logged, run, exports, tmp_path):
    day = 24 * HOUR
    logged.now += 40 * day
    assert "no retraining" in run("--dispatch")  # without labels
    logged.label(logged.predict(100))
    assert "no retraining" in run("--dispatch")
    logged.now += 30 * day
    assert run("--dispatch").endswith("retraining with feedback/1: started\n")
    assert sent(tmp_path)[0]["client_payload"] == {
        "branch": "feedback/1",
        "reason": "labels wait, and for 30 days nothing was trained on them",
        "alert": "",
        "stage": "staging",
    }
    path = tmp_path / "logs/staging-retraining.json"
    dispatches.write(
        path,
        dispatches.Dispatches(
            dispatches=tuple(dataclasses.replace(one, outcome="success") for one in dispatches.read(path).dispatches)
        ),
    )
    logged.now += 31 * day
    assert "no retraining" in run("--dispatch")  # no label came since
    logged.label(logged.predict(100))
    assert "retraining is due" in run()
    assert exports == ["feedback/1"]


def test_what_could_not_be_started_is_tried_again_with_the_same_branch(logged, run, exports, monkeypatch, tmp_path):
    fallen(logged)
    monkeypatch.setenv("GH_FAILS", "HTTP 401: Bad credentials")
    for _ in range(2):
        with pytest.raises(GitHubError, match=r"HTTP 401: Bad credentials; start it by hand: `gh workflow run"):
            run("--dispatch")
    monkeypatch.delenv("GH_FAILS")
    assert "feedback/1: started" in run("--dispatch")
    assert exports == ["feedback/1"]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitHubError, match="gh: not found; install"):
        run("--dispatch", "--force", "why")


def test_one_can_be_forced_with_a_reason_whatever_the_alerts_say(run, tmp_path, capsys):
    assert run("--force", "the forms\nare new", "--dispatch").endswith("retraining with feedback/1: started\n")
    payload = {"branch": "feedback/1", "reason": "the forms are new", "alert": "", "stage": "staging"}
    assert sent(tmp_path)[0]["client_payload"] == payload
    for words in (["--force", " \n"], ["--force", "why", "--every", "9"]):
        with pytest.raises(SystemExit):
            run(*words)
        assert "--force" in capsys.readouterr().err


def test_it_goes_on_also_when_it_could_not_be_started(logged, run, monkeypatch):
    fallen(logged)
    monkeypatch.setenv("GH_FAILS", "HTTP 502")
    slept, noted = [], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        known = dispatches.read(dispatches.path("staging"))
        noted.append((known.looked, known.every, known.error[:26]))
        monkeypatch.delenv("GH_FAILS", raising=False)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(retrain, "sleep", sleep)
    said = run("--dispatch", "--every", "60")
    assert noted == [(logged.now, 60, "`gh api` failed: HTTP 502;"), (logged.now, 60, "")]
    assert dispatches.read(dispatches.path("staging")).every is None  # it was ended, and has not died
    assert "error: `gh api` failed: HTTP 502" in said
    assert "feedback/1: started" in said
    assert said.endswith("stopped\n")
    assert slept == [60, 60]


def test_without_anything_new_to_train_on_nothing_is_started(logged, run, monkeypatch, tmp_path):
    """Then origin's main has this export already."""
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retrain.feedback, "from_log", lambda stage, since: f"the labels of {stage}")
    monkeypatch.setattr(retrain.feedback, "share", lambda made: None)
    with pytest.raises(RetrainError, match="there is nothing new to train on"):
        retrain.export("staging")


def test_a_stage_that_is_none_and_a_process_that_is_at_it_are_refused(run, tmp_path, monkeypatch):
    with dispatches.alone(tmp_path / "logs/staging-retraining.json"), pytest.raises(DispatchesError):
        run()
    monkeypatch.setattr(sys, "argv", ["retrain", "--stage", "../x"])
    with pytest.raises(PipelineError, match="is none of params"):
        retrain.main()
