"""Kept trials and seeds on the real data: what they find is what the pipeline finds, and DVC treats it as its own."""

import json
import re
from pathlib import Path

import pytest

from tests.e2e.project import Project
from tests.e2e.ray_cluster import Nodes
from tests.e2e.test_make import provide_environment

pytestmark = pytest.mark.e2e

NAME = "sweep-night-00000"
METRICS = {"train": "results/train/metrics.json", "evaluate": "results/evaluate/metrics.json"}
PULLED = {"train.npz", "validation.npz", "statistics.json"}


@pytest.fixture(scope="module")
def space(tmp_path_factory) -> Path:
    """A file with nothing in its space but seed 1."""
    file = tmp_path_factory.mktemp("space") / "space.yaml"
    file.write_text("train.seed: { choice: [1] }\n")
    return file


@pytest.fixture(scope="module")
def lab(pushed, tmp_path_factory) -> Project:
    """A fresh clone in which nothing has been pulled or tried yet."""
    project = pushed.clone(tmp_path_factory.mktemp("lab") / "project")
    provide_environment(project)
    return project


@pytest.fixture(scope="module")
def kept(lab, space) -> str:
    """What was printed by a sweep whose one trial was kept, in a clone that has what the sweep needs and no more."""
    said = lab.run("make", "sweep", f"SPACE={space}", "TRIALS=1", "NAME=night", "KEEP=1")
    assert {path.name for path in (lab / "data/prepared").iterdir()} == PULLED
    return said


@pytest.fixture(scope="module")
def again(lab, kept) -> tuple[str, str]:
    """The commit of the experiment, and what was printed when its trial was to be kept again, with two seeds."""
    before = lab.experiment(NAME)
    return before, lab.run("make", "keep", "SWEEP=night", "BEST=1", "SEEDS=2")


def record(project: Project) -> dict:
    """Of the one trial."""
    return json.loads((project / "sweeps/night/trials.jsonl").read_text())


def metrics(project: Project, stage: str, name: str = NAME) -> dict:
    """What an experiment measured."""
    return json.loads(project.git("show", f"{project.experiment(name)}:{METRICS[stage]}"))


def test_the_experiment_of_a_fresh_clone_equals_the_trial_to_the_bit(lab, kept):
    assert f"{NAME}: number 1 by validation accuracy" in kept
    assert "loss and validation accuracies equal to the bit" in kept
    found = metrics(lab, "train")
    assert found["train"]["loss"] == record(lab)["loss"]
    assert found["validation"]["accuracy"] == record(lab)["validation_accuracy"]
    first = json.loads((lab / METRICS["train"]).read_text())
    assert found["train"]["loss"] != first["train"]["loss"]  # so equality says something


@pytest.fixture(scope="module")
def driven(pushed, space, env, tmp_path_factory) -> tuple[Project, str]:
    """The same from a clone without any data, whose trial ran on a node of a cluster."""
    folder = tmp_path_factory.mktemp("cluster")
    driver, nodes = pushed.clone(folder / "driver"), Nodes(folder / "nodes", env)
    sweep = ("python", "-m", "scaling.sweep", f"--space={space}", "--trials=1", "--name=night", "--keep=1")
    try:
        nodes.add("a")
        said = driver.run(*sweep, env=nodes.env | {"MNIST_NODE_CACHE": str(nodes.cache("driver"))})
    finally:
        nodes.close()
    return driver, said


def test_so_does_that_of_a_cluster_s_trial_whose_driver_has_no_data(lab, kept, driven):
    driver, said = driven
    assert "loss and validation accuracies equal to the bit" in said
    assert not (driver / "data/prepared").exists()
    assert (record(driver)["loss"], record(driver)["curve"]) == (record(lab)["loss"], record(lab)["curve"])
    assert metrics(driver, "evaluate") == metrics(lab, "evaluate")


@pytest.mark.parametrize(("split", "stage"), [("validation", "train"), ("test", "evaluate")])
def test_seeds_find_what_the_experiment_found(lab, kept, split, stage):
    out = lab.run("make", "seeds", "SEEDS=2", f"SPLIT={split}")
    assert re.search(rf"^{split} accuracy .*\nworkspace .* 2$", out, re.MULTILINE)
    found = round(float(re.search(r"^workspace, seed 1: (.+) %", out, re.MULTILINE)[1]) / 100, 6)
    measured = metrics(lab, stage)
    assert found == (measured["accuracy"] if split == "test" else measured["validation"]["accuracy"])


def test_the_workspace_is_as_it_was(lab, kept):
    assert lab.git("status", "--porcelain") == ""
    assert lab.repro("--dry", "--allow-missing") == ()


def test_dvc_shows_and_compares_it(lab, kept):
    (main,) = (item for item in json.loads(lab.dvc("exp", "show", "--json")) if item["rev"] != "workspace")
    assert NAME in [experiment["name"] for experiment in main["experiments"]]
    changed = json.loads(lab.dvc("exp", "diff", "main", NAME, "--json"))
    assert changed["params"] == {"params.yaml": {"train.seed": {"old": 0, "new": 1, "diff": 1}}}
    assert METRICS["evaluate"] in changed["metrics"]


def test_what_is_kept_is_not_run_again_and_another_seed_is(lab, again):
    before, said = again
    assert "equal to the bit" in said
    assert f"{NAME}-seed0: validation accuracy " in said
    assert lab.experiment(NAME) == before
    for stage, path in METRICS.items():
        committed = json.loads((lab / path).read_text())  # seed 0 is what the project was run with
        assert metrics(lab, stage, f"{NAME}-seed0") == committed


def test_the_frontier_has_the_test_accuracy_of_both_seeds(lab, again):
    accuracies = [metrics(lab, "evaluate", name)["accuracy"] for name in (NAME, f"{NAME}-seed0")]
    table = (lab / "sweeps/night/frontier.md").read_text()
    tested = f"{sum(accuracies) / 2:.2%} ({min(accuracies):.2%} to {max(accuracies):.2%}, 2 seeds)"
    assert f"| **{record(lab)['validation_accuracy']:.2%}** | {tested} |" in table
    assert (lab / "sweeps/night/frontier.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_colleague_gets_it_and_takes_it(lab, kept, tmp_path):
    lab.run("git", "clone", "--quiet", "--bare", ".", str(tmp_path / "shared.git"))
    lab.git("remote", "add", "shared", str(tmp_path / "shared.git"))
    lab.dvc("exp", "push", "shared", NAME)
    colleague = lab.copy(tmp_path / "colleague")
    colleague.dvc("exp", "remove", NAME)
    colleague.dvc("pull")
    colleague.dvc("exp", "pull", "shared", NAME)
    colleague.dvc("exp", "apply", NAME)
    assert colleague.params["train"]["seed"] == 1
    assert json.loads((colleague / METRICS["evaluate"]).read_text()) == metrics(lab, "evaluate")
    assert colleague.repro() == ("check",)  # what the experiment left out
