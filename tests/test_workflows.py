"""The workflows say what nothing else can prove: no run of them here has GitHub's cache, token, clock or queue."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from monitoring import github, retrain
from tests.workflows import JOBS, ROOT, STEPS, WORKFLOWS, using


def test_the_workflows_are_these():
    known = {"deploy", "ml-pipeline", "post-report", "retrain", "retrain-from-scratch"}
    assert set(WORKFLOWS) == known, "test the new one here, too"


def test_vega_stays_away():
    """setup-cml would install canvas, which has no build for the Node that runners have."""
    assert {settings["vega"] for settings in using("iterative/setup-cml")} == {False}


def test_pull_requests_and_what_was_merged_are_run():
    on = WORKFLOWS["ml-pipeline"]["on"]
    assert on == {"pull_request": None, "push": {"branches": ["main"]}, "workflow_dispatch": None}


def test_once_a_week_everything_is_trained_anew():
    on = WORKFLOWS["retrain-from-scratch"]["on"]
    assert set(on) == {"schedule", "workflow_dispatch"}
    day, month, weekday = scheduled(on)
    assert (day, month) == ("*", "*")
    assert 0 <= int(weekday) < 7


def scheduled(on: dict[str, Any]) -> list[str]:
    """On which days. At no full hour: then GitHub has so much to start that it starts some late, or not at all."""
    (schedule,) = on["schedule"]
    minute, hour, *days = schedule["cron"].split()
    assert 0 < int(minute) < 60
    assert 0 <= int(hour) < 24
    return days


def test_an_alert_a_month_gone_by_or_a_person_has_production_data_trained_on():
    on = WORKFLOWS["retrain"]["on"]
    assert set(on) == {"repository_dispatch", "schedule", "workflow_dispatch"}
    assert on["repository_dispatch"]["types"] == [retrain.EVENT]
    assert set(on["workflow_dispatch"]["inputs"]) == {"branch", "reason", "stage"}
    day, month, weekday = scheduled(on)
    assert (month, weekday) == ("*", "*")
    assert 1 <= int(day) <= 28
    assert f"context={github.CONTEXT} " in str(JOBS["retrain", "tell"]["steps"])


@pytest.mark.parametrize(
    ("came", "state", "words"),  # whether to propose, then how the jobs `propose` and `start` ended
    [
        ("true success success", "success", "99 to 98"),
        ("true success failure", "success", "without its pipeline, which .*: gh workflow run .* retrain/12345678901"),
        ("true success cancelled", "success", "without its pipeline, which .*"),
        ("true failure skipped", "error", "it was to be proposed, but no pull request could be opened"),
        ("true skipped skipped", "error", "it was to be proposed, but .*"),  # what it needs could not be pushed
        ("false skipped skipped", "failure", "99 to 98"),
        (" skipped skipped", "error", "it could not be trained or compared"),
    ],
)
def test_the_monitor_is_told_how_far_a_retraining_came(came, state, words, tmp_path):
    to_propose, propose, start = came.split(" ")
    job = JOBS["retrain", "tell"]
    assert {*job["needs"]} == {name for file, name in JOBS if file == "retrain"} - {"answered", "tell"}
    known = {
        "needs.challenge.outputs.commit": "c0ffee",
        "needs.challenge.outputs.proposed": to_propose,
        "needs.challenge.outputs.summary": "99 to 98" if to_propose else "",
        "needs.propose.result": propose,
        "needs.start.result": start,
        "github.server_url": "https://host",
        "github.repository": "owner/name",
        "github.run_id": "12345678901",
        "github.token": "token",
    }
    (step,) = job["steps"]
    env = {
        name: re.sub(r"\$\{\{ (.+?) \}\}", lambda found: known[found[1]], text)
        for name, text in (job["env"] | step["env"]).items()
    }
    (tmp_path / "gh").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "gh").chmod(0o755)
    env |= {"PATH": f"{tmp_path}:/usr/bin:/bin", "GITHUB_REPOSITORY": "owner/name", "GITHUB_RUN_ID": "12345678901"}
    command = ["bash", "-e", "-o", "pipefail", "-c", step["run"]]
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {"repos/owner/name/statuses/c0ffee", f"state={state}", f"target_url={env['RUN']}"} <= set(said)
    (description,) = [line.removeprefix("description=") for line in said if line.startswith("description=")]
    assert re.fullmatch(words, description)
    assert len(description) <= 140, "GitHub refuses it"


def test_the_verdict_that_counts_is_the_challenger_s():
    """The champion's, which is committed, would pass where DVC fails before the check begins."""
    (check,) = [step["run"] for step in JOBS["retrain", "challenge"]["steps"] if step.get("name") == "Check"]
    assert check.split(" #")[0] == "rm -f results/check/verdict.json"
    assert check.splitlines()[-1] == "dvc repro check"


@pytest.mark.parametrize("name", sorted({*WORKFLOWS} - {"deploy"}))
def test_a_newer_run_ends_the_older_one_of_the_same_thing_alone(name):
    """Of the same branch, and of the same fork: otherwise one pull request would end another's run."""
    concurrency = WORKFLOWS[name]["concurrency"]
    # On main, a run that releases comes to its end, and the newest of those that wait is next; so does a deployment.
    # A retraining that was begun comes to its end, too, for its alert does not ask again for hours.
    kept = {"ml-pipeline": "${{ github.ref != 'refs/heads/main' }}", "deploy": False, "retrain": False}
    ends: Any = kept.get(name, True)
    assert concurrency["cancel-in-progress"] == ends
    of = {
        "deploy": ["github.workflow", "inputs.ref || github.ref_name"],
        "ml-pipeline": ["github.workflow", "github.ref"],
        "post-report": [
            "github.workflow",
            "github.event.workflow_run.head_repository.full_name",
            "github.event.workflow_run.head_branch",
        ],
        "retrain": ["github.workflow"],
        "retrain-from-scratch": ["github.workflow"],
    }
    assert re.findall(r"\$\{\{ (.+?) \}\}", concurrency["group"]) == of[name]


def test_pip_s_downloads_are_kept_as_long_as_the_lock_is_the_same():
    """Keyed by default on requirements.txt, which is not there: then setup-python fails."""
    settings = using("actions/setup-python")
    # The oldest that pyproject.toml allows, and a newer one.
    assert sorted({setting["python-version"] for setting in settings}) == ["3.11", "3.13"]
    kept = [setting for setting in settings if "cache" in setting]
    assert len(kept) == 3
    for setting in kept:
        assert (setting["cache"], setting["cache-dependency-path"]) == ("pip", "requirements.lock")
        assert (ROOT / setting["cache-dependency-path"]).is_file()


def test_dvc_s_cache_is_kept_by_its_lock_and_started_from_an_older_one():
    """What is there for another dvc.lock still holds most of it: archives, and all that this change left alone."""
    (cache,) = using("actions/cache")
    assert cache["key"] == "dvc-${{ hashFiles('dvc.lock') }}"
    assert cache["restore-keys"] == "dvc-"
    assert cache["path"] == ".dvc/cache"
    config = (ROOT / ".dvc/config").read_text()
    assert "cache" not in config, "DVC's cache is no longer in its default place"


def test_nothing_of_a_cache_is_in_a_retraining():
    """It asks whether the committed result can be had from nothing."""
    assert using("actions/cache", "retrain-from-scratch/") == []
    commands = [step.get("run", "") for place, step in STEPS if place.startswith("retrain-from-scratch/")]
    # What nobody else has: labels that came in for what the service was asked.
    assert [command for command in commands if "dvc pull" in command] == ["dvc pull data/production"]


@pytest.mark.parametrize("place", JOBS, ids="/".join)
def test_every_job_has_an_end(place):
    """GitHub's own limit is six hours, which somebody pays for."""
    assert 0 < JOBS[place]["timeout-minutes"] <= 60


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_pipe_fails_with_its_first_command(name):
    """`verify | tee` would pass for right whatever verify says: GitHub's default shell has no pipefail."""
    assert WORKFLOWS[name]["defaults"]["run"]["shell"] == "bash"


def test_the_pull_request_s_own_commit_is_checked_out_with_its_history():
    """GitHub's default is a merge that nobody committed, alone; the report names commits and compares with the base."""
    (settings,) = using("actions/checkout", "ml-pipeline/pipeline")
    assert settings["ref"] == "${{ github.event.pull_request.head.sha || github.sha }}"
    assert settings["fetch-depth"] == 0


def test_a_run_comments_or_leaves_its_report_but_never_both():
    steps = {step.get("name"): step for step in JOBS["ml-pipeline", "pipeline"]["steps"]}
    comment, leave = steps["Comment"], steps["Upload the report, for post-report.yml"]
    assert leave["if"] == "github.event_name == 'pull_request' && env.READ_ONLY == 'true'"
    assert comment["if"].startswith("env.READ_ONLY == 'false' && (github.event_name == 'pull_request' || ")
    (download,) = using("actions/download-artifact", "post-report/")
    assert leave["with"]["name"] == download["pattern"]


def test_assignments_are_deployed_each_in_its_environment_one_after_the_other():
    """An environment is what a reviewer is required for. A deployment that was begun is not to be ended by the next."""
    assert WORKFLOWS["deploy"]["on"]["push"] == {"tags": ["mnist#*"]}
    assert set(WORKFLOWS["deploy"]["on"]["workflow_dispatch"]["inputs"]) == {"ref"}
    assert WORKFLOWS["deploy"]["concurrency"]["cancel-in-progress"] is False
    for stage in yaml.safe_load((ROOT / "params.yaml").read_text())["delivery"]["stages"]:
        job = JOBS["deploy", stage]
        assert job["environment"] == stage
        assert job["if"] == f"needs.assignment.outputs.stage == '{stage}'"
        assert job["concurrency"] == {"group": f"${{{{ github.workflow }}}}-{stage}", "cancel-in-progress": False}
        assert f"STAGE={stage}" in str(job["steps"])


def test_a_tag_is_checked_out_by_its_name():
    """By its commit, checkout would put a tag without GTO's annotation in its place (actions/checkout, issue 290)."""
    settings = using("actions/checkout", "deploy/")
    assert {setting["ref"] for setting in settings} == {"refs/tags/${{ inputs.ref || github.ref_name }}"}
    assert {setting["fetch-depth"] for setting in settings} == {0}
