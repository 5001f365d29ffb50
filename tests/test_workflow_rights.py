"""What the workflows may do, and who decides that: tokens, actions of others, code and names of others."""

import re

import pytest
import yaml

from tests.workflows import FILES, JOBS, ROOT, STEPS, WORKFLOWS, using


def test_every_action_is_pinned_to_a_commit():
    """A tag can be moved to other code by whoever owns the action; Dependabot needs the version beside the commit."""
    lines = [line.strip() for path in FILES for line in path.read_text().splitlines() if re.search(r"\buses:", line)]
    loose = [line for line in lines if not re.fullmatch(r"(- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)]
    assert lines
    assert {line.removeprefix("- ") for line in loose} == {"uses: iterative/setup-cml@v2"}


def test_an_action_that_is_not_pinned_comes_last():
    """After it, nothing is uploaded or computed any more; and CML itself is of a fixed version."""
    assert [settings["version"] for settings in using("iterative/setup-cml")] == ["v0.20.6"] * 3
    last = {"Comment", "Open the pull request"}
    for job in (("ml-pipeline", "pipeline"), ("post-report", "post"), ("retrain", "propose")):
        names = [step.get("name") or step["uses"] for step in JOBS[job]["steps"]]
        after = names[names.index("iterative/setup-cml@v2") + 1 :]
        assert [name for name in after if name not in last and not name.startswith("Fail if ")] == []


def test_an_action_that_is_not_pinned_never_meets_a_token_that_may_push_or_start_anything():
    """Whoever moves its tag gets what the job may do: here, to write comments and to open pull requests."""
    rights = {"actions": "read", "contents": "read", "pull-requests": "write"}
    jobs = {place.partition("/")[::2] for place, step in STEPS if "setup-cml" in step.get("uses", "")}
    assert len(jobs) == 3
    for place in jobs:
        assert JOBS[place]["permissions"].items() <= rights.items(), place


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_grants_nothing_by_itself(name):
    """Otherwise a new job would have the rights of the repository's default, which may be to write."""
    assert WORKFLOWS[name]["permissions"] == {}


def test_each_job_has_the_rights_it_uses_and_no_other():
    assert {place: content["permissions"] for place, content in JOBS.items()} == {
        ("deploy", "assignment"): {"contents": "read"},
        ("deploy", "staging"): {"contents": "read"},
        ("deploy", "production"): {"contents": "read"},
        ("ml-pipeline", "tests"): {"contents": "read"},
        ("ml-pipeline", "pipeline"): {"contents": "read", "pull-requests": "write"},  # the comment
        ("ml-pipeline", "release"): {"actions": "write", "contents": "write"},  # deploy.yml is started, tags are pushed
        ("post-report", "post"): {"actions": "read", "pull-requests": "write"},  # the artifact, the comment
        ("retrain", "answered"): {"contents": "read", "statuses": "read"},
        ("retrain", "challenge"): {"contents": "read"},
        ("retrain", "push"): {"contents": "write"},
        ("retrain", "propose"): {"contents": "read", "pull-requests": "write"},
        ("retrain", "start"): {"actions": "write"},  # ml-pipeline.yml
        ("retrain", "tell"): {"statuses": "write"},
        ("retrain-from-scratch", "retrain"): {"contents": "read"},
    }


def test_the_token_is_handed_to_those_steps_alone_that_ask_github_something():
    """A step of the pull request's own code must not see it: that code is what is being reviewed."""
    named = [(place, step.get("name")) for place, step in STEPS if "github.token" in str(step)]
    assert named == [
        ("ml-pipeline/pipeline", "Find the pull request of a branch that this was started for by name"),
        ("ml-pipeline/pipeline", "Comment"),
        ("ml-pipeline/release", "Release"),
        ("ml-pipeline/release", "Assign to staging"),
        ("ml-pipeline/release", "Deploy"),
        ("post-report/post", "Download the report, if there is one"),
        ("post-report/post", "Find the open pull request that has this commit as its head"),
        ("post-report/post", "Comment"),
        ("retrain/answered", "Ask"),
        ("retrain/push", "Push the branch"),
        ("retrain/propose", "Open the pull request"),
        ("retrain/start", "Start its pipeline"),
        ("retrain/tell", "Set the status"),
    ]
    assert [path.stem for path in FILES if "secrets." in path.read_text()] == []


def test_no_checkout_leaves_the_token_behind():
    """By default it stays in .git/config, where every later step can read it."""
    assert len(using("actions/checkout")) == 10
    assert {settings["persist-credentials"] for settings in using("actions/checkout")} == {False}


def test_what_may_write_runs_no_code_of_a_pull_request():
    """`pull_request_target` runs with the rights of the base. So does `workflow_run`, which checks nothing out."""
    assert [name for name, file in WORKFLOWS.items() if "pull_request_target" in file["on"]] == []
    assert using("actions/checkout", "post-report/") == []
    assert WORKFLOWS["post-report"]["on"] == {
        "workflow_run": {"workflows": [WORKFLOWS["ml-pipeline"]["name"]], "types": ["completed"]}
    }


def test_what_trains_on_production_data_may_not_write_and_what_may_write_runs_no_code_of_ours():
    """The data is anybody's. Of the run that it went through, the job that pushes takes over results by their paths."""
    jobs = {name: content["steps"] for (file, name), content in JOBS.items() if file == "retrain"}
    challenge, push = jobs.pop("challenge"), jobs["push"]
    assert "github.token" not in str(challenge)
    assert "make setup" in str(challenge)
    scripts = "\n".join(step.get("run", "") for steps in jobs.values() for step in steps)
    assert re.findall(r"^ *(?:make|python|dvc) .*", scripts, re.MULTILINE) == []
    (take,) = [step["run"] for step in push if "git apply" in step.get("run", "")]
    included = set(re.findall(r"--include='?([^' ]+)", take))
    assert included == {"dvc.lock", "data/production.dvc", "results/*", ".dvcstore/files/md5/*"}


def test_what_may_push_runs_for_main_alone_after_all_else_and_without_what_other_runs_left():
    pushing = [name for name, content in JOBS.items() if content["permissions"].get("contents") == "write"]
    assert pushing == [("ml-pipeline", "release"), ("retrain", "push")]
    steps = [step for name in [*pushing, ("retrain", "challenge")] for step in JOBS[name]["steps"]]
    assert [step for step in steps if "cache" in str(step.get("with", {})) + step.get("uses", "")] == []
    content = JOBS["ml-pipeline", "release"]
    assert content["if"] == "github.event_name == 'push' && github.ref == 'refs/heads/main'"
    assert set(content["needs"]) == {name for file, name in JOBS if file == "ml-pipeline"} - {"release"}


def test_no_expression_is_put_into_a_script():
    """A branch may be called `$(...)`: what is not ours reaches a script as a variable of its environment."""
    assert [(place, step["name"]) for place, step in STEPS if "${{" in step.get("run", "")] == []


def test_who_set_off_the_run_decides_whether_it_may_comment():
    """GitHub goes by the actor, not by who opened the pull request. The second workflow goes by nobody's name."""
    read_only = JOBS["ml-pipeline", "pipeline"]["env"]["READ_ONLY"]
    assert "github.actor == 'dependabot[bot]'" in read_only
    assert "head.repo.full_name != github.repository" in read_only
    assert [path.stem for path in FILES if "user.login" in path.read_text()] == []
    assert JOBS["post-report", "post"]["if"] == "github.event.workflow_run.event == 'pull_request'"


def test_dependabot_looks_after_the_actions_and_the_image():
    """Pinned to a commit, an action is never mended by itself."""
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    assert {"github-actions", "docker"} <= {update["package-ecosystem"] for update in updates}


def test_what_deploys_takes_nothing_from_a_cache():
    """Any other workflow could have filled it."""
    assert using("actions/cache", "deploy/") == []
    assert [setting for setting in using("actions/setup-python", "deploy/") if "cache" in setting] == []
