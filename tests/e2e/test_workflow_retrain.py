""".github/workflows/retrain-from-scratch.yml, executed: does it say whether dvc.lock was reproduced?"""

import pytest

from tests.e2e.github.server import Server
from tests.e2e.project import STAGES

pytestmark = pytest.mark.e2e

LAST = "Fail if dvc.lock was not reproduced"


def retrain(project, folder):
    archives = project / "data/raw/MNIST"
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
