"""Experiments, and what changed from one commit to the next, as the README shows them."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from tests.e2e.project import ROOT

pytestmark = pytest.mark.e2e

README = (ROOT / "README.md").read_text(encoding="utf-8")
RATE, SPLIT = "train.learning_rate", "preprocess.validation_size"
PLOTS = {
    "results/train/plots/metrics/train/loss.tsv": "loss",
    "results/train/plots/metrics/schedule/learning_rate.tsv": "learning_rate",
    "results/train/plots/metrics/validation/accuracy.tsv": "accuracy",
    "results/evaluate/confusion.csv": "actual",
}


def shown_in_readme(heading: str) -> list[str]:
    """Commands that README.md shows in the first console block below a heading."""
    section = README.partition(f"\n## {heading}\n")[2]
    block = re.search(r"^```console\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[1].replace("\\\n", "")
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


AT_ONCE, SWEEP, RUN_ALL, SHOW, DIFF, APPLY = shown_in_readme("Experiments")


@pytest.fixture(scope="module")
def lab(fast, tmp_path_factory):
    """A project in which the README's experiments were run, one at once and two from the queue, and one more."""
    project = fast.copy(tmp_path_factory.mktemp("lab") / "project")
    project.sh(AT_ONCE, SWEEP)
    # No check: a failing stage would lose the experiment.
    slowest = ("-S", "train.learning_rate=1e-5", "-S", "model.channels=[4, 12]", "-S", f"{SPLIT}=30000")
    project.dvc("exp", "run", "--queue", "--name", "slowest", *slowest, "evaluate")
    project.sh(RUN_ALL)
    return project


@pytest.fixture(scope="module")
def shown(lab):
    """Rows of `dvc exp show`, by experiment."""
    rows = list(csv.DictReader(io.StringIO(lab.dvc("exp", "show", "--csv"))))
    return {row["Experiment"] or row["rev"]: row for row in rows}


@pytest.fixture(scope="module")
def experiments(shown):
    """The same, without workspace and commit."""
    return {name: row for name, row in shown.items() if name not in ("workspace", "main")}


def test_the_readme_s_commands_are_these():
    assert AT_ONCE.startswith("dvc exp run --name slower -S ")
    assert SWEEP == "dvc exp run --queue -S 'train.seed=1,2' evaluate"
    assert RUN_ALL.startswith("dvc exp run --run-all")
    assert SHOW.startswith("dvc exp show --only-changed --hide-workspace ")
    assert DIFF.startswith("dvc exp diff main slower")
    assert APPLY == "dvc exp apply slower"


def test_show_lists_every_experiment_with_its_params_and_metrics(experiments):
    assert {"slower", "slowest"} <= experiments.keys()
    assert len(experiments) == 4
    assert float(experiments["slower"][RATE]) == 0.1
    assert experiments["slowest"]["model.channels"] == "[4, 12]"
    for row in experiments.values():
        assert 0 < float(row["accuracy"]) < 1


def test_a_sweep_is_one_experiment_for_each_value(experiments):
    swept = [row for name, row in experiments.items() if name not in ("slower", "slowest")]

    assert sorted(row["train.seed"] for row in swept) == ["1", "2"]
    assert swept[0]["validation.accuracy"] != swept[1]["validation.accuracy"]


def test_a_rate_with_an_exponent_is_a_number(experiments):
    # DVC writes 1e-05, which YAML reads as text. Hardly anything is learned at this rate, so it has been used.
    assert float(experiments["slowest"][RATE]) == 1e-5
    assert float(experiments["slowest"]["accuracy"]) < 0.9


def test_show_gives_the_same_as_json(lab, experiments):
    listed = json.loads(lab.dvc("exp", "show", "--json"))[1]["experiments"]
    accuracy = {
        experiment["name"]: experiment["revs"][0]["data"]["metrics"]["results/evaluate/metrics.json"]["data"][
            "accuracy"
        ]
        for experiment in listed
    }

    assert accuracy == {name: float(row["accuracy"]) for name, row in experiments.items()}


def test_the_readme_s_table_shows_what_differs_and_nothing_else(lab, experiments):
    table = lab.sh(SHOW)
    heads = next(line.split() for line in table.splitlines() if "Experiment" in line)

    assert {"Experiment", "validation.accuracy", "accuracy", "errors", "train.seed", RATE} <= set(heads)
    assert not {"Created", "State", "temperature", "train.loss", "train.momentum"} & set(heads)
    assert "workspace" not in table
    for name, row in experiments.items():
        (line,) = (line for line in table.splitlines() if f"[{name}]" in line)
        assert row["errors"] in line.split()


def test_the_readme_s_diff_names_param_and_metrics(lab, shown):
    rows = [line.split() for line in lab.sh(DIFF).splitlines()]

    assert ["params.yaml", RATE, "0.2", "0.1", "-0.1"] in rows
    (errors,) = (row[2:] for row in rows if row[:2] == ["results/evaluate/metrics.json", "errors"])
    before, after = int(shown["main"]["errors"]), int(shown["slower"]["errors"])
    assert errors == [str(before), str(after), str(after - before)]


def test_diff_names_what_was_changed_and_what_came_of_it(lab):
    changes = json.loads(lab.dvc("exp", "diff", "slower", "slowest", "--json"))

    assert changes["params"]["params.yaml"].keys() == {"model.channels", RATE, SPLIT}
    assert changes["params"]["params.yaml"]["model.channels"] == {"old": "[4, 8]", "new": "[4, 12]"}
    assert changes["metrics"]["results/evaluate/metrics.json"]["parameters"]["diff"] > 0


def test_seeds_of_an_experiment_are_tried_on_data_of_its_own(lab, tmp_path):
    commit = lab.experiment("slowest")
    theirs = lab.object("data/prepared/train.npz", commit=commit)
    assert theirs != lab.object("data/prepared/train.npz")
    command = ("python", "-m", "scaling.seeds", "--experiment=slowest", "--against=main", "--seeds=2")
    said = lab.run(*command)
    for name, revision in (("slowest", commit), ("main", "main")):
        measured = json.loads(lab.git("show", f"{revision}:results/train/metrics.json"))["validation"]["accuracy"]
        assert f"{name}, seed 0: {100 * measured:.2f} %" in said

    theirs.rename(tmp_path / "elsewhere")
    try:
        said = lab.run(*command, fails=True)
    finally:
        (tmp_path / "elsewhere").rename(theirs)
    missing = f"data/prepared/train.npz: as commit {commit[:7]} has it, it is neither in DVC's cache nor in its remote"
    assert f"error: {missing}; where the experiment was run, share it with `dvc push` or `dvc exp push`\n" in said


def apply(lab, path):
    """A copy in whose workspace the experiment of the README takes the commit's place."""
    project = lab.copy(path)
    project.git("checkout", "--quiet", ".")
    assert project.params["train"]["learning_rate"] == 0.2
    project.sh(APPLY)
    return project


def test_apply_brings_an_experiment_into_the_workspace(lab, tmp_path):
    project = apply(lab, tmp_path / "project")

    assert project.params["train"]["learning_rate"] == 0.1
    # What the experiment left out, and nothing else.
    assert project.repro() == ("check",)


@pytest.fixture(scope="module")
def commits(lab, tmp_path_factory):
    """A project with two commits: the smaller model, then the experiment `slower`."""
    project = apply(lab, tmp_path_factory.mktemp("commits") / "project")
    project.commit("slower")
    return project


def test_metrics_diff_between_commits(commits):
    changed = json.loads(commits.dvc("metrics", "diff", "HEAD~1", "HEAD", "--json"))["results/evaluate/metrics.json"]
    before, after = (
        json.loads(commits.git("show", f"{revision}:results/evaluate/metrics.json")) for revision in ("HEAD~1", "HEAD")
    )

    for name in ("accuracy", "errors"):
        assert changed[name]["old"] == before[name]
        assert changed[name]["new"] == after[name]
        assert changed[name]["diff"] == pytest.approx(after[name] - before[name])


def test_params_diff_between_commits(commits):
    changes = json.loads(commits.dvc("params", "diff", "HEAD~1", "HEAD", "--json"))

    assert changes == {"params.yaml": {"train.learning_rate": {"old": 0.2, "new": 0.1, "diff": -0.1}}}


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
