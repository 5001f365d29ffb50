"""What the report says of a change, in a small repository in which DVC never ran."""

import json
import math
import re
import shutil

import numpy as np
import pytest
import yaml

from digits.significance import mcnemar
from reporting import first_screen, predictions, report
from tests.reporting import history
from tests.reporting.github import GITHUB, cells
from tests.reporting.history import METRICS, PARAMS, altered, wrong

pytestmark = pytest.mark.usefixtures("repository")


def test_nothing_changed():
    text = report.report("base")

    assert text.startswith("## ✅ The limit is kept\n")
    assert "**Test accuracy 98.00 % → 98.00 %: the same answer to each of the 1,000 test images.**" in text
    assert "- **Params:** none differ." in text
    assert "`dvc.lock` is current: `dvc repro` has nothing to run" in text
    assert "Stages that differ" not in text


def test_a_change_for_the_better():
    params = altered(PARAMS, train={"learning_rate": 0.1})
    metrics = altered(METRICS, accuracy=0.998, errors=2, loss=0.01)
    history.results(params, metrics, predicted=wrong(0, 500), loss=0.4)
    history.commit()
    text = report.report("base")

    assert (
        "**Test accuracy 98.00 % → 99.80 %: better by 1.80 points, more than noise** (of 1,000 images 19 newly right, "
        "1 newly wrong; McNemar test, p < 0.001)."
    ) in text
    assert "- **Params:** `train.learning_rate` `0.2` → `0.1`." in text
    rows = cells(text)
    assert ("test accuracy", "98.00 %", "99.80 %", "+1.80 points") in rows
    assert ("wrong test images", "20", "2", "-18") in rows
    assert ("✅ accuracy", "0.998", "above 0.95", "0.03") in rows
    assert ("train.learning_rate", "0.2", "0.1") in rows
    assert ("train", "train.learning_rate 0.2 → 0.1") in rows
    assert ("evaluate", "other input: model") in rows
    assert ("3", "98.00 %", "98.00 %", "0") in rows
    assert text.count("```mermaid\n") == 2
    assert "🟧 base, 🟦 head" in text
    folded = [line.content.strip() for line in GITHUB.parse(text) if line.type == "html_block"]
    assert sum(block.startswith("<details>") for block in folded) == folded.count("</details>") == 5


def test_within_noise_and_the_confusions_that_grew():
    classes = METRICS["per_class"] | {"3": {"recall": 0.95}, "4": {"recall": 0.97}, "5": {"recall": 1.0}}
    metrics = altered(METRICS, accuracy=0.979, per_class=classes)
    history.results(metrics=metrics, predicted=wrong(*range(17), 33, 43, 53, 64))
    text = report.report("base")

    assert "%: -0.10 points, within noise** (of 1,000 images 3 newly right, 4 newly wrong; McNemar test, p = 1)" in text
    assert ("3 taken for 4", "2", "5", "+3") in cells(text)
    assert "<summary>Confusions that grew most (3 taken for 4: +3)</summary>" in text
    assert "<summary>Recall of each class (largest fall: -3.00 points, <code>3</code>)</summary>" in text
    assert {("3", "98.00 %", "95.00 %", "-3.00"), ("5", "98.00 %", "100.00 %", "+2.00")} <= set(cells(text))
    assert text.count(" + uncommitted | difference |") == 1


def test_worse_says_worse():
    history.results(metrics=altered(METRICS, accuracy=0.9), predicted=wrong(*range(100)))

    assert "\n⚠️ **Test accuracy 98.00 % → 90.00 %: worse by 8.00 points, more than noise**" in report.report("base")


@pytest.mark.parametrize(
    ("gained", "lost", "words"),
    [
        (13, 4, "**A: better by 0.90 points, more than noise** (of 1,000 images 13 newly right, 4 newly wrong; {})."),
        (4, 13, "⚠️ **A: worse by 0.90 points, more than noise** (of 1,000 images 4 newly right, 13 newly wrong; {})."),
    ],
)
def test_noise_ends_where_one_in_twenty_would_be_as_uneven(gained, lost, words):
    def judged(gained, lost):
        first, second = np.ones(1000, bool), np.ones(1000, bool)
        first[:gained], second[gained : gained + lost] = False, False
        return first_screen.judged("A", mcnemar(first, second), 1000)

    assert judged(gained, lost) == words.format("McNemar test, p = 0.049")
    within = judged(*sorted((22, 10), reverse=gained > lost))
    assert re.fullmatch(r"\*\*A: [+-]1\.20 points, within noise\*\* \(of .*, p = 0\.05\)\.", within)


def test_the_very_first_pull_request():
    history.git("checkout", "--quiet", "--orphan", "empty")
    history.git("rm", "-r", "--quiet", "--cached", ".")
    history.git("commit", "--quiet", "--allow-empty", "--message", "nothing yet")
    text = report.report("empty")

    assert "**Test accuracy 98.00 %** (95 % interval 97.00 % to 99.00 %). **Nothing to compare with**" in text
    assert "**Params:** the base has none." in text
    assert ("accuracy", "\N{EN DASH}", "0.98", "new") in cells(text)
    assert "🟦 head" in text
    assert "`dvc.lock` is not committed.**" in text


def test_new_and_removed_and_unspeakable_metrics():
    metrics = altered(METRICS, added=1.5, loss=math.nan)
    del metrics["parameters"]
    history.results(metrics=metrics)
    rows = cells(report.report("base"))

    assert ("added", "\N{EN DASH}", "1.5", "new") in rows
    assert ("parameters", "1,142", "\N{EN DASH}", "removed") in rows
    assert ("loss", "0.05", "NaN", "\N{EN DASH}") in rows


def test_predictions_that_nobody_has():
    history.results(metrics=altered(METRICS, accuracy=0.97), predicted=wrong(*range(30)))
    shutil.rmtree(".dvc")
    text = report.report("base")

    assert "**Test accuracy 98.00 % → 97.00 %.** Whether that is more than noise" in text
    assert "the predictions of base are neither in the DVC cache nor in its remote" in text
    assert "Confusions" not in text


def test_other_test_images_are_not_compared():
    history.write(predictions.PATH, history.archive(wrong(1), (history.LABELS + 1) % 10))

    assert "not on the same test images" in report.report("base")


def test_other_labels_of_another_number_are_not_compared():
    history.write(predictions.PATH, history.archive(np.zeros(10), np.zeros(10)))
    text = report.report("base")

    assert "not on the same test images" in text


def test_a_base_that_went_on():
    history.git("checkout", "--quiet", "base")
    history.commit("elsewhere")
    history.git("checkout", "--quiet", "main")

    assert "- `base` has 1 commit that this branch lacks: the differences include what they changed" in report.report(
        "base"
    )


def test_metrics_of_several_files_and_at_top_level():
    history.write(
        "dvc.yaml", yaml.safe_dump({"metrics": ["a.json", "b.yaml"], "stages": {"s": {"metrics": ["a.json"]}}})
    )
    history.write("a.json", json.dumps({"same": 1}))
    history.write("b.yaml", "same: 2\n")
    text = report.report("base")

    assert text.index("`a.json`\n") < text.index("`b.yaml`\n")
    assert {("same", "\N{EN DASH}", "1", "new"), ("same", "\N{EN DASH}", "2", "new")} <= set(cells(text))
