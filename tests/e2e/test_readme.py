"""What the README shows is what the project does."""

import json
import re

import pytest
import yaml
from PIL import Image

from reporting.details import percent
from reporting.markdown import figure
from tests.browser.picture import PICTURE, SOURCE
from tests.e2e.project import ROOT
from tests.reporting.github import cells

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.e2e
def test_the_confusion_matrix_is_that_of_the_committed_model(pulled, tmp_path):
    project = pulled.copy(tmp_path / "project")
    project.run("python", "-m", "reporting.plots")
    drawn = Image.open(project / "dvc_plots/results_evaluate_confusion.png")
    shown = Image.open(ROOT / "docs/images/confusion.png")
    assert shown.text["Source"] == drawn.text["Source"], (
        "make plots, then copy the picture to docs/images/confusion.png"
    )


def test_the_picture_of_a_report_compares_with_the_committed_model():
    metrics = json.loads((ROOT / "results/evaluate/metrics.json").read_text())
    with Image.open(PICTURE) as picture:
        text = picture.text[SOURCE]
    base = {row[0]: row[1] for row in cells(text) if len(row) == 4}
    shown = {"test accuracy": percent(metrics["accuracy"]), "wrong test images": figure(metrics["errors"])}
    shown |= {"test loss": figure(metrics["loss"]), "model file, bytes": figure(metrics["onnx_bytes"])}
    assert {name: base[name] for name in shown} == shown, "python -m tests.browser.picture report"


def test_the_summary_is_that_of_the_committed_model():
    metrics = json.loads((ROOT / "results/evaluate/metrics.json").read_text())
    interval = metrics["accuracy_95"]
    shown = f"{metrics['accuracy']:.2%} (95 % interval {interval['low']:.2%} to {interval['high']:.2%})"
    assert f"  test accuracy  {shown}\n  parameters     {metrics['parameters']:,}\n" in README


def test_the_experiments_start_from_the_committed_model():
    metrics = json.loads((ROOT / "results/evaluate/metrics.json").read_text())
    validation = json.loads((ROOT / "results/train/metrics.json").read_text())["validation"]["accuracy"]
    train = yaml.safe_load((ROOT / "params.yaml").read_text())["train"]
    table, diff, compared = (
        [line.split() for line in README.splitlines() if line.startswith(start)]
        for start in ("  main  ", "params.yaml  train.learning_rate", "results/evaluate/metrics.json  errors")
    )
    figures = [validation, metrics["accuracy"], metrics["errors"], train["seed"], train["learning_rate"]]
    assert [[float(cell) for cell in row[1:]] for row in table] == [figures], "dvc exp show"
    assert [row[2] for row in diff] == [str(train["learning_rate"])] * 2, "dvc exp diff, dvc params diff"
    assert [row[2] for row in compared] == [str(metrics["errors"])] * 2, "dvc exp diff, dvc metrics diff"


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks/results").glob("*.md")), ids=lambda path: path.stem)
def test_every_measured_table_is_quoted_to_the_letter_or_linked(path):
    page, text = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8"), path.read_text(encoding="utf-8")
    assert re.search(r"^\|", text, re.MULTILINE)
    assert len(re.findall("^Measured by ", text, re.MULTILINE)) == 1  # on what, with which versions, when
    assert text in README or text in page or f"](results/{path.name})" in page


def test_what_the_readme_says_of_a_measured_table_is_in_it():
    lines = re.findall(r"^\| (.+) \| (.+) \| \[\w+\]\((benchmarks/results/\w+\.md)\) \|$", README, re.MULTILINE)
    assert len(lines) > 5
    for what, measured, path in lines:
        table = (ROOT / path).read_text(encoding="utf-8")
        for number in re.findall(r"\d[\d.,]*\d|\d", measured.replace("1,000", "")):
            assert re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d.,]*\d)", table), (what, number)


def test_the_measured_default_is_the_committed_one():
    parameters = json.loads((ROOT / "results/evaluate/metrics.json").read_text())["parameters"]
    speed = (ROOT / "benchmarks/results/speed.md").read_text()
    assert f"| default | {parameters:,} |" in speed
