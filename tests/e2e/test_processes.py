"""Training in two processes, on the real data: through the pipeline and by torchrun, as good as in one."""

import json

import pytest

pytestmark = pytest.mark.e2e

# They compute the same but for rounding, which here changed 2 of 10,000 answers; benchmarks/distributed.py has seeds.
NOISE = 0.002


def metrics(project):
    return {name: json.loads((project / f"results/{name}/metrics.json").read_text()) for name in ("train", "evaluate")}


def test_two_processes_come_to_what_one_does(project):
    alone, weights = metrics(project), (project / "models/model.safetensors").read_bytes()
    project.set(train__processes=2)
    assert project.repro() == ("train", "export", "evaluate", "check")

    both, theirs = metrics(project), (project / "models/model.safetensors").read_bytes()
    assert theirs != weights
    assert both["train"]["step"] == alone["train"]["step"]
    assert both["train"]["train"]["loss"] == pytest.approx(alone["train"]["train"]["loss"], rel=0.003)
    assert abs(both["train"]["validation"]["accuracy"] - alone["train"]["validation"]["accuracy"]) < NOISE
    assert abs(both["evaluate"]["accuracy"] - alone["evaluate"]["accuracy"]) < NOISE
    assert project.lock["train"]["params"]["params.yaml"]["train"]["processes"] == 2

    # By hand, as on several machines, and from the beginning again: the same bits, so that DVC has nothing to do.
    (project / "models/model.safetensors").unlink()
    project.run("torchrun", "--standalone", "--nproc-per-node=2", "-m", "stages.train")
    assert (project / "models/model.safetensors").read_bytes() == theirs
    assert project.repro() == ()
