""".github/workflows/ml-pipeline.yml, executed: what a pull request gets to see, and when it is refused."""

import re

import pytest

from tests.e2e.github.server import FORK, Server

pytestmark = pytest.mark.e2e

CHECK_FAILED = "Fail if check failed"
LOCK_STALE = "Fail if dvc.lock is stale, and say what mends it"
COMMENT = "7-ml-pipeline"


@pytest.fixture
def project(pushed, tmp_path):
    """On a branch of its own, with everything on main as it should be."""
    project = pushed.copy(tmp_path / "project")
    project.git("switch", "--quiet", "--create", "change")
    return project


@pytest.fixture
def server(project, tmp_path):
    return Server(project, tmp_path / "github")


def share(project):
    """What a person types once `dvc repro` is through."""
    project.dvc("push")
    project.commit()


def test_a_param_that_helps_is_reported_and_accepted(project, server):
    project.set(model__channels=[8, 16])
    project.repro()
    share(project)
    run = server.pull_request()
    comment = server.comments()[COMMENT]

    assert run.passed, run.output
    assert run.stages == ()
    assert comment.startswith("## ✅ All 6 limits kept")
    assert re.search(r"accuracy 9\d\.\d\d % → 9\d\.\d\d %: better by \d\.\d\d points, more than noise", comment)
    assert "model.channels" in comment
    assert run.summary == comment
    model = server.artifact("model")
    assert (model / "models/model.onnx").read_bytes() == (project / "models/model.onnx").read_bytes()
    assert (model / "results/check/model_card.md").exists()
    assert len(list((model / "dvc_plots").glob("*.png"))) >= 4
    assert "https://github.example/artifacts/model" in comment


def test_a_violated_limit_is_reported_and_refused(project, server):
    project.set(train__learning_rate=0.0005)
    assert "Running stage 'check'" in project.dvc("repro", fails=True)
    share(project)
    run = server.pull_request()

    assert run.failed == [
        "Is dvc.lock current, and all it names in the remote?",  # DVC records nothing of a stage that failed
        "Check",
        CHECK_FAILED,
    ]
    assert not run.passed
    assert run.stages == ("check",)
    assert list(run.steps).index("Comment") < list(run.steps).index(CHECK_FAILED)
    assert re.match(r"## ❌ \d of 6 limits violated: .*accuracy", server.comments()[COMMENT])
    assert LOCK_STALE not in run.steps


def test_a_change_of_the_documentation_trains_nothing(project, server):
    (project / "README.md").write_text("Other words\n")
    project.commit()
    run = server.pull_request()

    assert run.passed, run.output
    assert run.stages == ()
    assert "`dvc.lock` is current" in server.comments()[COMMENT]


def test_a_change_of_the_preprocessing_is_reported(project, server):
    project.set(preprocess__validation_size=4000)
    project.repro()
    share(project)
    run = server.pull_request()
    comment = server.comments()[COMMENT]

    assert run.passed, run.output
    assert run.stages == ()
    assert "preprocess.validation_size" in comment
    assert re.search(r"Test accuracy 9\d\.\d\d % → 9\d\.\d\d %", comment)


def test_a_stale_lock_is_recomputed_reported_and_refused(project, server):
    project.set(evaluate__seed=5)
    project.commit()
    run = server.pull_request()

    assert run.stages == ("evaluate", "check")
    assert "`dvc.lock` as committed is stale" in server.comments()[COMMENT]
    assert run.failed[-1] == LOCK_STALE
    assert run.output.rstrip().endswith(
        "dvc.lock is stale: evaluate, check would run; mend it with:\n"
        "  dvc repro && dvc push && git add dvc.lock results .dvcstore && git commit"
    )


def test_what_was_not_pushed_is_recomputed_and_refused(project, server):
    project.set(evaluate__seed=5)
    project.repro()
    project.commit()
    run = server.pull_request()

    assert run.stages == ("evaluate",)
    assert "`dvc.lock` is current" in server.comments()[COMMENT]
    assert run.failed[-1] == LOCK_STALE
    assert re.search(r"not in the DVC remote: .*; mend it with:\n  dvc push && git add .dvcstore", run.output)


def test_a_metric_that_the_base_lacks_is_reported(project, server):
    source = (project / "stages/evaluate.py").read_text()
    changed = source.replace("write_json(METRICS, ", "write_json(METRICS, {'novelty': 42} | ")
    assert changed != source
    (project / "stages/evaluate.py").write_text(changed)
    project.repro()
    share(project)
    run = server.pull_request()

    assert run.passed, run.output
    assert re.search(r"novelty.*42", server.comments()[COMMENT])


def test_the_first_pull_request_has_nothing_to_compare_with(project, server):
    project.git("checkout", "--quiet", "--orphan", "start")
    project.git("rm", "--quiet", "-r", "--cached", ".")
    project.git("add", "LICENSE")
    project.git("commit", "--quiet", "--message", "start")
    project.git("branch", "--force", "main")
    project.commit("everything")
    run = server.pull_request()

    assert run.passed, run.output
    assert run.stages == ()
    assert "**Nothing to compare with**: the base has no metrics." in server.comments()[COMMENT]


def test_a_newer_commit_updates_the_comment(project, server):
    project.set(check__limits__accuracy__above=0.9)
    project.repro()
    share(project)
    assert server.pull_request().passed
    first = server.comments()
    project.git("revert", "--no-edit", "HEAD")
    assert server.pull_request().passed

    assert server.comments().keys() == first.keys() == {COMMENT}
    assert server.comments() != first


def test_a_push_to_main_is_reported_without_a_comment(project, server):
    before = server.commit()
    project.git("switch", "--quiet", "main")
    project.git("commit", "--quiet", "--allow-empty", "-m", "nothing new")
    run = server.push(before)

    assert run.passed, run.output
    assert "`dvc.lock` is current" in run.summary
    assert server.comments() == {}


def test_lint_and_unit_tests_run(project, server):
    run = server.pull_request(job="tests", env={"PYTEST_ADDOPTS": "tests/digits/test_errors.py"})

    assert run.passed, run.output
    assert list(run.steps)[-3:] == ["Install", "Lint", "Unit tests"]
    assert re.search(r"\d+ passed", run.output)


def test_a_fork_gets_its_report_from_the_second_workflow(project, server):
    (project / "README.md").write_text("Words of somebody else\n")
    project.commit()
    first = server.pull_request(source=FORK)

    assert first.passed, first.output
    assert server.comments() == {}
    report = (server.artifact("report") / "report.md").read_text()
    assert first.summary == report
    assert "`dvc.lock` is current" in report

    second = server.completed()

    assert second.passed, second.output
    assert server.comments()[COMMENT].endswith(report)
