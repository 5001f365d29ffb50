""".github/workflows/retrain-from-scratch.yml, executed: does it say whether dvc.lock was reproduced?"""

import re

import pytest

from tests.e2e.github.server import Server
from tests.e2e.project import STAGES

pytestmark = pytest.mark.e2e

LAST = "Fail if dvc.lock was not reproduced"


def retrain(project, folder, archives="data/raw/MNIST"):
    archives = project / archives
    return Server(project, folder).run(
        "retrain-from-scratch", "workflow_dispatch", {}, env={"MNIST_MIRRORS": f"{archives.as_uri()}/"}
    )


def test_everything_is_retrained_and_dvc_lock_reproduced(pushed, tmp_path):
    run = retrain(pushed.copy(tmp_path / "project"), tmp_path / "github")

    assert run.passed, run.output
    assert run.stages == STAGES
    assert "reproduced to the bit" in run.summary


def test_another_result_than_dvc_lock_names_is_reported_and_fails(pushed, tmp_path):
    project = pushed.copy(tmp_path / "project")
    other = {out["path"]: out["md5"] for out in project.lock["train"]["outs"]}["models/model.safetensors"]
    (project / "dvc.lock").write_text((project / "dvc.lock").read_text().replace(other, "f" * 32))
    project.commit()
    run = retrain(project, tmp_path / "github")

    assert run.failed == [LAST]
    assert "differs, though nothing was changed" in run.summary


def test_a_limit_that_the_new_model_breaks_is_reported_and_fails(pushed, tmp_path):
    project = pushed.copy(tmp_path / "project")
    project.set(check__limits__accuracy__above=0.9999)
    project.commit()
    run = retrain(project, tmp_path / "github")

    assert run.stages == STAGES
    assert run.failed == ["Retrain"]
    assert re.search(r"test accuracy +9\d\.\d\d%.*\n.*\n.*\n  verdict +FAILED: accuracy\n", run.summary)
    assert "not updated, because check failed" in run.summary


def test_a_retraining_that_never_came_to_a_result_reports_none(pushed, tmp_path):
    run = retrain(pushed.copy(tmp_path / "project"), tmp_path / "github", "nowhere")

    assert run.stages == ("fetch",)
    assert run.failed == ["Retrain"]
    assert run.summary == ""
