""".github/workflows/ml-pipeline.yml, executed: what a pull request gets to see, and when it is refused."""

import re
import shutil
import textwrap

import pytest

from reporting import lockfile
from tests.e2e.github.server import FORK, Server
from tests.e2e.tables import NOT_THERE, rows, tables

pytestmark = pytest.mark.e2e

CHECK_FAILED = "Fail if check failed"
STAGE_FAILED = "Fail if a stage failed"
VERIFY = "Is dvc.lock current, and all it names in the remote?"
LOCK_STALE = "Fail if dvc.lock is stale, and say what mends it"
REFUSED = "**As committed, this is not fit to be shared.**"
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
    assert REFUSED not in comment
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

    # DVC records nothing of a stage that failed, so it is stale. That alone is not told a second time.
    assert run.failed == [VERIFY, "Check", CHECK_FAILED]
    assert run.steps[LOCK_STALE] == "success"
    assert not run.passed
    assert run.stages == ("check",)
    assert list(run.steps).index("Comment") < list(run.steps).index(CHECK_FAILED)
    comment = server.comments()[COMMENT]
    assert re.match(r"## ❌ \d of 6 limits violated: .*accuracy", comment)
    assert "`dvc.lock` is as committed, and holds nothing of `check`, which failed. Nothing was trained." in comment
    assert REFUSED not in comment


def test_a_violated_limit_and_a_stale_lock_are_both_named(project, server):
    project.set(evaluate__seed=5, check__limits__accuracy__above=0.9999)
    project.commit()
    run = server.pull_request()
    comment = server.comments()[COMMENT]

    assert run.stages == ("evaluate", "check")
    assert run.failed == [VERIFY, "Check", CHECK_FAILED, LOCK_STALE]
    assert run.output.rstrip().endswith(
        f"dvc.lock is stale: evaluate, check would run; mend it with:\n  {lockfile.mend()}"
    )
    assert comment.startswith("## ❌ 1 of 6 limits violated: `accuracy`\n")
    assert "`dvc.lock` as committed is stale; recomputed here**: `evaluate`, `check`. Nothing was trained." in comment
    assert f"{REFUSED} Once the limits are kept, its commands mend that." in comment


def test_a_change_of_the_documentation_trains_nothing(project, server):
    (project / "README.md").write_text("Other words\n")
    project.commit()
    run = server.pull_request()

    assert run.passed, run.output
    assert run.stages == ()
    assert "`dvc.lock` is current: nothing had to be trained or run" in server.comments()[COMMENT]


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
    assert run.failed == [VERIFY, LOCK_STALE]
    complaint = (
        "dvc.lock is stale: evaluate, check would run; mend it with:\n"
        "  dvc repro && dvc push && git add dvc.lock results .dvcstore && git commit"
    )
    assert run.output.rstrip().endswith(complaint)
    comment = server.comments()[COMMENT]
    assert "`dvc.lock` as committed is stale; recomputed here**: `evaluate`, `check`. Nothing was trained." in comment
    assert f"{REFUSED} `make verify` says:" in comment
    assert textwrap.indent(complaint, "  ") in comment


def test_what_was_not_pushed_is_recomputed_and_refused(project, server):
    project.set(evaluate__seed=5)
    project.repro()
    project.commit()
    run = server.pull_request()

    assert run.stages == ("evaluate",)
    assert run.failed == [VERIFY, LOCK_STALE]
    complaint = re.search(r"not in the DVC remote: .*; mend it with:\n  dvc push && git add .dvcstore", run.output)[0]
    comment = server.comments()[COMMENT]
    assert "run again here, with the same results**: `evaluate`. Nothing was trained." in comment
    assert "nothing had to be trained or run" not in comment
    assert REFUSED in comment
    assert textwrap.indent(complaint, "  ") in comment


def test_what_neither_cache_nor_remote_gives_is_recomputed(project, server, tmp_path):
    project.dvc("remote", "add", "--default", "s3", "s3://bucket/dvc")
    project.dvc("remote", "modify", "s3", "endpointurl", "http://127.0.0.1:9")
    project.git("rm", "-r", "--quiet", "--cached", ".dvcstore")
    project.git("commit", "--quiet", "--all", "--message", "S3")
    cache = shutil.copytree(project / ".dvc/cache", tmp_path / "cache")
    (cache / project.object("results/evaluate/predictions.npz").relative_to(project / ".dvc/cache")).unlink()
    account = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    run = server.pull_request(env=account | {"AWS_MAX_ATTEMPTS": "1", "STAND_IN_CACHE": str(cache)})
    comment = server.comments()[COMMENT]

    assert run.steps["Pull"] == "success"
    assert "::warning::dvc pull failed: what is not in the cache either is recomputed\n" in run.output
    assert run.stages == ("evaluate",)
    assert "run again here, with the same results**: `evaluate`. Nothing was trained." in comment
    assert ": the same answer to each of the 10,000 test images.**" in comment
    assert re.search(r"^  error: dvc data status .*Could not connect to the endpoint URL", comment, re.MULTILINE)
    assert run.failed == [VERIFY, LOCK_STALE]


def test_a_stage_that_fails_is_reported_and_refused(project, server):
    project.set(train__learning_rate=-1)
    project.commit()
    run = server.pull_request()
    comment = server.comments()[COMMENT]

    assert run.stages == ("train",)
    assert run.failed == [VERIFY, "Recompute what is stale", STAGE_FAILED, LOCK_STALE]
    assert list(run.steps).index("Comment") < list(run.steps).index(STAGE_FAILED)
    assert comment.startswith("## ❌ `train` failed\n")
    assert "**`train` failed here**, so that nothing after it ran" in comment
    assert not server.artifact("model").exists()


def test_a_metric_that_a_base_of_a_hostile_name_lacks_is_reported(project, server, tmp_path):
    # As bad as Git allows. A shell that read it would run it, in quotes and without.
    base = "`touch${IFS}$HOME/owned`|$(touch${IFS}$HOME/owned)''\"\";<b>@all"
    project.git("branch", base, "main")
    source = (project / "stages/evaluate.py").read_text()
    changed = source.replace("write_json(METRICS, ", "write_json(METRICS, {'novelty': 42} | ")
    assert changed != source
    (project / "stages/evaluate.py").write_text(changed)
    project.repro()
    share(project)
    run = server.pull_request(base=base, env={"HOME": str(tmp_path)})

    assert not (tmp_path / "owned").exists()
    assert run.passed, run.output
    comment = server.comments()[COMMENT]
    figures = tables(comment)[0]
    assert figures[0][1].startswith(r"base origin/`touch${IFS}$HOME/owned`\x7c")
    assert {len(row) for row in figures} == {4}
    assert ["novelty", NOT_THERE, "42", "new"] in rows(comment, "metric", "base", "head", "difference")
    assert "@all" not in comment


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
