"""Seeds and kept trials on the real data: what they find is what `dvc exp run` finds, and DVC treats it as its own."""

import json
import re

import pytest

from digits.storage import write_json

pytestmark = pytest.mark.e2e

NAME = "sweep-night-00000"
METRICS = {"train": "results/train/metrics.json", "evaluate": "results/evaluate/metrics.json"}


@pytest.fixture(scope="module")
def lab(fast, tmp_path_factory):
    """A copy of the project in which nothing has been tried yet."""
    return fast.copy(tmp_path_factory.mktemp("lab") / "project")


def accuracy(lab, split: str) -> float:
    """Of seed 1, as the evaluation of several seeds has it."""
    out = lab.run("python", "-m", "scaling.seeds", "--seeds=2", f"--split={split}")
    assert re.search(rf"^{split} accuracy .*\nworkspace .* 2$", out, re.MULTILINE)
    return round(float(re.search(r"^workspace, seed 1: (.+) %", out, re.MULTILINE)[1]) / 100, 6)


@pytest.fixture(scope="module")
def seed(lab):
    """Accuracies of seed 1, by split."""
    return {split: accuracy(lab, split) for split in ("validation", "test")}


@pytest.fixture(scope="module")
def kept(lab, seed):
    """What was printed when a trial of seed 1, with those figures, was kept."""
    parameters = json.loads((lab / METRICS["evaluate"]).read_text())["parameters"]
    record = {
        "trial": "00000",
        "settings": {"train.seed": 1},
        "state": "finished",
        "validation_accuracy": seed["validation"],
        "validations": 1,
        "curve": [seed["validation"]],
        "parameters": parameters,
        "seconds": 1.0,
        "node": "another",
        "error": None,
    }
    base = {section: lab.params[section] for section in ("model", "train")}
    commit = lab.git("rev-parse", "HEAD").strip()
    write_json(
        lab / "sweeps/night/sweep.json",
        {"space": {}, "trials": 1, "seed": 0, "keep": 1, "commit": commit, "data": {}, "params": base, "versions": {}},
    )
    (lab / "sweeps/night/trials.jsonl").write_text(json.dumps(record) + "\n")
    return lab.run("python", "-m", "scaling.keep", "--sweep=night", "--best=1")


def metrics(lab, stage: str) -> dict:
    commit = lab.git("for-each-ref", "--format=%(objectname)", f"refs/exps/**/{NAME}").strip()
    return json.loads(lab.git("show", f"{commit}:{METRICS[stage]}"))


def test_the_experiment_equals_the_trial_to_the_bit(lab, kept):
    assert "validation accuracies equal to the bit" in kept
    assert "NOT" not in kept


def test_seeds_find_what_the_experiment_found(lab, seed, kept):
    assert metrics(lab, "train")["validation"]["accuracy"] == seed["validation"]
    assert metrics(lab, "evaluate")["accuracy"] == seed["test"]
    first = json.loads((lab / METRICS["train"]).read_text())["validation"]["accuracy"]
    assert seed["validation"] != first  # another seed finds something else, so equality says something


def test_the_workspace_is_as_it_was(lab, kept):
    assert lab.git("status", "--porcelain") == ""
    assert lab.repro() == ()


def test_dvc_shows_and_compares_it(lab, kept):
    (commit,) = (item for item in json.loads(lab.dvc("exp", "show", "--json")) if item["rev"] != "workspace")
    assert [experiment["name"] for experiment in commit["experiments"]] == [NAME]
    changed = json.loads(lab.dvc("exp", "diff", "main", NAME, "--json"))
    assert changed["params"] == {"params.yaml": {"train.seed": {"old": 0, "new": 1, "diff": 1}}}
    assert METRICS["evaluate"] in changed["metrics"]


def test_what_is_kept_is_not_run_again(lab, kept):
    before = lab.git("for-each-ref", "refs/exps")
    assert "equal to the bit" in lab.run("python", "-m", "scaling.keep", "--sweep=night", "--best=1")
    assert lab.git("for-each-ref", "refs/exps") == before


def test_the_frontier_has_its_test_accuracy(lab, seed, kept):
    out = lab.run("python", "-m", "scaling.frontier", "--sweep=night")
    assert f"| **{seed['validation']:.2%}** | {seed['test']:.2%} |" in out
    assert (lab / "sweeps/night/frontier.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_colleague_gets_it_and_takes_it(lab, kept, tmp_path):
    lab.run("git", "clone", "--quiet", "--bare", ".", str(tmp_path / "shared.git"))
    lab.git("remote", "add", "shared", str(tmp_path / "shared.git"))
    lab.dvc("exp", "push", "shared", NAME)
    colleague = lab.copy(tmp_path / "colleague")
    colleague.dvc("exp", "remove", NAME)
    colleague.dvc("exp", "pull", "shared", NAME)
    colleague.dvc("exp", "apply", NAME)
    assert colleague.params["train"]["seed"] == 1
    assert json.loads((colleague / METRICS["evaluate"]).read_text()) == metrics(lab, "evaluate")
    assert colleague.repro() == ("check",)  # what the experiment left out
