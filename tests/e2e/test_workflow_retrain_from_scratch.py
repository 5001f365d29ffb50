""".github/workflows/retrain-from-scratch.yml, executed: does it say whether dvc.lock was reproduced?"""

import pytest

from tests.e2e.github.idle import idle
from tests.e2e.github.server import Server
from tests.e2e.project import STAGES

pytestmark = pytest.mark.e2e

REPORTED = "mkdir -p results/check && echo judged > results/check/verdict.json"


def retrain(project, folder, **options):
    return Server(project, folder).run("retrain-from-scratch", "workflow_dispatch", {}, **options)


def test_everything_is_retrained_and_dvc_lock_reproduced(pushed, tmp_path):
    project = pushed.copy(tmp_path / "project")
    archives = {"MNIST_MIRRORS": f"{(project / 'data/raw/MNIST').as_uri()}/"}
    run = retrain(project, tmp_path / "github", env=archives)

    assert run.passed, run.output
    assert run.stages == STAGES
    assert "reproduced to the bit" in run.summary


@pytest.mark.parametrize(
    ("does", "failed", "said"),
    [
        (f"{REPORTED} && echo other >> dvc.lock", ["Fail if dvc.lock was not reproduced"], "```\njudged\n\n```\n"),
        (f"{REPORTED} && exit 1", ["Retrain"], "```\njudged\n\n```\n"),
        ("exit 1", ["Retrain"], ""),
    ],
    ids=["other bits", "a limit that the new model breaks", "no result at all"],
)
def test_what_does_not_end_well_is_reported_and_fails(env, tmp_path, does, failed, said):
    script = f'#!/bin/sh\n[ "$*" != "pull data/production" ] || exit 0\n[ "$*" = "repro --force" ] || exit 2\n{does}\n'
    run = retrain(idle(tmp_path / "project", env, {"dvc": script}), tmp_path / "github")

    assert run.failed == failed
    assert run.summary == said
