"""Experiments, and what changed from one commit to the next, as the README shows them."""

import csv
import io
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

RATE = "train.learning_rate"
PLOTS = {
    "results/train/plots/metrics/train/loss.tsv": "loss",
    "results/train/plots/metrics/schedule/learning_rate.tsv": "learning_rate",
    "results/train/plots/metrics/validation/accuracy.tsv": "accuracy",
    "results/evaluate/confusion.csv": "actual",
}


@pytest.fixture(scope="module")
def lab(fast, tmp_path_factory):
    """A project in which one experiment was run at once, and two from the queue."""
    project = fast.copy(tmp_path_factory.mktemp("lab") / "project")
    # No check: a failing stage would lose the experiment.
    project.dvc("exp", "run", "--name", "slower", "-S", "train.learning_rate=0.05", "evaluate")
    project.git("checkout", "--quiet", ".")
    project.dvc("exp", "run", "--queue", "--name", "slowest", "-S", "train.learning_rate=1e-5", "evaluate")
    project.dvc("exp", "run", "--queue", "--name", "wider", "-S", "model.channels=[4, 12]", "evaluate")
    project.dvc("exp", "run", "--run-all")
    return project


@pytest.fixture(scope="module")
def shown(lab):
    """Rows of `dvc exp show`, by experiment."""
    rows = list(csv.DictReader(io.StringIO(lab.dvc("exp", "show", "--csv"))))
    return {row["Experiment"] or row["rev"]: row for row in rows}


def test_show_lists_every_experiment_with_its_params_and_metrics(shown):
    assert {"slower", "slowest", "wider"} <= shown.keys()
    assert float(shown["slower"][RATE]) == 0.05
    assert shown["wider"]["model.channels"] == "[4, 12]"
    for name in ("slower", "slowest", "wider"):
        assert 0 < float(shown[name]["accuracy"]) < 1


def test_a_rate_with_an_exponent_is_a_number(shown):
    # DVC writes 1e-05, which YAML reads as text. Hardly anything is learned at this rate, so it has been used.
    assert float(shown["slowest"][RATE]) == 1e-5
    assert float(shown["slowest"]["accuracy"]) < 0.9


def test_show_gives_the_same_as_json(lab, shown):
    experiments = json.loads(lab.dvc("exp", "show", "--json"))[1]["experiments"]
    accuracy = {
        experiment["name"]: experiment["revs"][0]["data"]["metrics"]["results/evaluate/metrics.json"]["data"][
            "accuracy"
        ]
        for experiment in experiments
    }

    assert accuracy == {name: float(shown[name]["accuracy"]) for name in ("slower", "slowest", "wider")}


def test_diff_names_what_was_changed_and_what_came_of_it(lab):
    changes = json.loads(lab.dvc("exp", "diff", "slower", "wider", "--json"))

    assert changes["params"]["params.yaml"].keys() == {"model.channels", "train.learning_rate"}
    assert changes["params"]["params.yaml"]["model.channels"] == {"old": "[4, 8]", "new": "[4, 12]"}
    assert changes["metrics"]["results/evaluate/metrics.json"]["parameters"]["diff"] > 0


def test_apply_brings_an_experiment_into_the_workspace(lab, tmp_path):
    project = lab.copy(tmp_path / "project")
    project.dvc("exp", "apply", "wider")

    assert project.params["model"]["channels"] == [4, 12]
    # What the experiment left out, and nothing else.
    assert project.repro() == ("check",)


@pytest.fixture(scope="module")
def commits(lab, tmp_path_factory):
    """A project with two commits: the smaller model, then the experiment `wider`."""
    project = lab.copy(tmp_path_factory.mktemp("commits") / "project")
    project.dvc("exp", "apply", "wider")
    project.commit("wider")
    return project


def test_metrics_diff_between_commits(commits):
    changed = json.loads(commits.dvc("metrics", "diff", "HEAD~1", "HEAD", "--json"))["results/evaluate/metrics.json"]
    before, after = (
        json.loads(commits.git("show", f"{revision}:results/evaluate/metrics.json")) for revision in ("HEAD~1", "HEAD")
    )

    for name in ("accuracy", "parameters"):
        assert changed[name]["old"] == before[name]
        assert changed[name]["new"] == after[name]
        assert changed[name]["diff"] == pytest.approx(after[name] - before[name])


def test_params_diff_between_commits(commits):
    changes = json.loads(commits.dvc("params", "diff", "HEAD~1", "HEAD", "--json"))

    assert changes == {"params.yaml": {"model.channels": {"old": "[4, 8]", "new": "[4, 12]"}}}


def test_plots_diff_draws_both_commits(commits, tmp_path):
    drawn = json.loads(commits.dvc("plots", "diff", "HEAD~1", "HEAD", "--json", "--split", "-o", str(tmp_path)))["data"]

    assert drawn.keys() == {*PLOTS, "results/evaluate/worst_mistakes.png"}
    for name, field in PLOTS.items():
        (plot,) = drawn[name]
        points = plot["anchor_definitions"]["<DVC_METRIC_DATA>"]
        assert {point["rev"] for point in points} == {"HEAD~1", "HEAD"}
        assert all(field in point for point in points)
        assert plot["anchor_definitions"]["<DVC_METRIC_TITLE>"]
    pictures = [Path(picture["url"]).read_bytes() for picture in drawn["results/evaluate/worst_mistakes.png"]]
    assert [picture[:8] for picture in pictures] == [b"\x89PNG\r\n\x1a\n"] * 2
    assert pictures[0] != pictures[1]


def test_plots_show_draws_one_page(commits, tmp_path):
    commits.dvc("plots", "show", "-o", str(tmp_path / "plots"))
    page = (tmp_path / "plots/index.html").read_text()

    for plot in ("Training loss", "Learning rate", "Validation accuracy", "Test images by true and predicted class"):
        assert plot in page
    assert "worst_mistakes.png" in page
