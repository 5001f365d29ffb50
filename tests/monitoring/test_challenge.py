"""Who wins, and what the reviewer reads of it."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from digits.params import load
from digits.storage import read_arrays, write_arrays
from monitoring import challenge
from monitoring.challenge import HELD_OUT, TESTED, ChallengeError, duel, markdown, together, verdict
from monitoring.settings import MonitoringParams
from tests.delivery.tagged import Tagged
from tests.e2e.tables import tables

ROOT = Path(__file__).parents[2]
PARAMS = load(MonitoringParams, "monitoring", ROOT / "params.yaml").retraining


def duelled(name: str, images: int, gained: int, lost: int):
    """The first images are right by the challenger alone, the last by the champion alone, all others by both."""
    place = np.arange(images)
    return duel(name, place >= gained, place < images - lost, PARAMS)


@pytest.mark.parametrize(
    ("name", "images", "gained", "lost", "worse"),
    [
        (TESTED, 10_000, 0, 0, False),
        (TESTED, 10_000, 0, 20, False),  # 0.2 points, the margin, however sure
        (TESTED, 10_000, 0, 21, True),
        (TESTED, 10_000, 100, 121, True),  # though it could be chance: these are many
        (HELD_OUT, 10_000, 0, 20, False),
        (HELD_OUT, 10_000, 0, 21, True),
        (HELD_OUT, 10_000, 100, 121, False),  # more than the margin, and chance
        (HELD_OUT, 10_000, 100, 126, True),
        (HELD_OUT, 10_000, 100, 160, True),
        (HELD_OUT, 200, 3, 6, False),  # one and a half points of so few images are chance
        (HELD_OUT, 200, 0, 4, True),  # two are, too, but more than chance excuses
        (HELD_OUT, 190, 3, 10, True),
        (HELD_OUT, 60, 1, 7, True),
        (HELD_OUT, 100, 50, 0, False),
    ],
)
def test_worse_is_beyond_the_margin_and_where_images_are_few_beyond_chance(name, images, gained, lost, worse):
    found = duelled(name, images, gained, lost)
    assert (found.paired.gained, found.paired.lost) == (gained, lost)
    assert found.points == pytest.approx(100 * (gained - lost) / images)
    assert found.worse == worse


FINE, WORSE = duelled(TESTED, 10_000, 10, 10), duelled(HELD_OUT, 200, 0, 30)
BETTER = duelled(HELD_OUT, 200, 30, 0)


def test_worse_on_either_is_not_proposed():
    assert verdict([FINE, BETTER], [], 100, same=False) == (
        True,
        "99.90 to 99.90 % (10 gained, 10 lost) on original test images, "
        "85.00 to 100.00 % (30 gained, 0 lost) on production images held out",
    )
    for duels in ([FINE, WORSE], [WORSE, BETTER]):
        assert verdict(duels, [], 100, same=False) == (
            False,
            "worse: 100.00 to 85.00 % (0 gained, 30 lost) on production images held out",
        )
    assert verdict([FINE, BETTER], ["accuracy"], 100, same=False) == (False, "limits violated: accuracy")
    assert verdict([FINE, BETTER], [], 100, same=True)[0] is False


@pytest.mark.parametrize(("duels", "count"), [([FINE], 0), ([FINE, duelled(HELD_OUT, 99, 9, 0)], 99)])
def test_too_few_production_images_to_tell_by_are_not_enough(duels, count):
    said = f"only {count} production images are held out, at least 100 are needed to tell"
    assert verdict(duels, [], 100, same=False) == (False, said)


def test_a_summary_is_no_longer_than_a_status_holds():
    assert len(verdict([WORSE._replace(name="x" * 100)] * 3, [], 100, same=False)[1]) == 140


def test_the_reviewer_reads_both_comparisons_and_what_asked_for_them():
    asked = {"alert": "3", "reason": "<b>`x` @all | [a](http://b)", "data": ""}
    text = markdown("v0.1.0, as in production", [FINE, WORSE], asked, proposed=False, summary="worse")
    assert text.startswith(
        "## ❌ Not proposed: worse\n\n- alert: `3`\n- reason: ``<b>`x` @all \\x7c [a](http://b)``\n\n"
    )
    (rows,) = tables(text)
    same, fallen = ["+0.00", "10", "10", "0.59"], ["-15.00", "0", "30", "9.3e-10, worse"]
    assert rows[1:] == [
        ["10,000 original test images", "99.90 % (99.82 to 99.95)", "99.90 % (99.82 to 99.95)", *same],
        ["200 production images held out", "100.00 % (98.12 to 100.00)", "85.00 % (79.39 to 89.29)", *fallen],
    ]
    assert "nothing is known" not in text
    alone = markdown("x", [FINE], {}, proposed=True, summary="fine")
    assert alone.startswith("## ✅ Retrained on production data: fine\n\n| images ")
    assert "**No production images were held out: of those, nothing is known.**" in alone


def test_a_loss_that_is_let_through_is_in_the_header():
    lost = duelled(HELD_OUT, 200, 3, 6)
    header = markdown("x", [FINE, lost], {}, proposed=True, summary="fine").splitlines()[0]
    assert header == "## ✅ Retrained on production data, not shown to be worse: fine"


def test_the_report_follows_as_far_as_there_is_room(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lead, folded = "Report.\n", f"<details>\n{'x' * 70_000}\n</details>\n"
    assert "Report.\n\n<details>short" in together("Duel.\n", f"{lead}\n<details>short</details>")
    whole = together("Duel.\n", lead + folded)
    assert whole.startswith("Duel.\n")
    assert whole.endswith(lead)
    assert together("Duel.\n", "y" * 70_000).startswith("Duel.\n")


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff"])
def test_where_nothing_is_known_of_the_data_it_says_so(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "data/production").mkdir(parents=True)
        (tmp_path / "data/production/provenance.json").write_bytes(content)
    assert challenge.provenance() == "Nothing is known."


def run(monkeypatch, capsys, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["challenge", *words])
    challenge.main()
    return capsys.readouterr().out


@pytest.fixture
def repository(finished, tmp_path, monkeypatch):
    """The finished pipeline, committed, with production data."""
    made = Tagged(tmp_path / "project")
    shutil.copytree(finished, made.path, dirs_exist_ok=True)
    monkeypatch.chdir(made.path)
    delivery = yaml.safe_load((ROOT / "params.yaml").read_text())
    params = yaml.safe_load(Path("params.yaml").read_text()) | {
        key: delivery[key] for key in ("delivery", "monitoring")
    }
    Path("params.yaml").write_text(yaml.safe_dump(params))
    test, labels = read_arrays(Path("data/prepared/test.npz"), "images", "labels")
    for name, count in (("train", 0), ("holdout", 120)):
        write_arrays(Path(f"data/production/{name}.npz"), images=test[:count], labels=labels[:count])
    known = {"dataset": "MNIST", "rows": {"taken": 120, "<b>": 1}}
    Path("data/production/provenance.json").write_text(json.dumps(known))
    Path("dvc.lock").write_text("a: 1\n")
    made.commit("a")
    return made


def test_without_a_version_the_champion_is_the_commit_s(repository, monkeypatch, capsys):
    assert ", for production is empty" in run(monkeypatch, capsys, "keep", "--stage=production")
    assert Path("champion/model.onnx").read_bytes() == Path("models/model.onnx").read_bytes()
    said = run(monkeypatch, capsys, "compare", "--out=challenge.md")
    assert said == "proposed=false\nsummary=nothing new: the data is that of main, and so is the model\n"
    Path("dvc.lock").write_text("a: 2\n")
    Path("report.md").write_text("The report.\n")
    said = run(monkeypatch, capsys, "compare", "--alert=3", "--report=report.md", "--out=challenge.md")
    assert re.match(r"proposed=true\nsummary=[\d.]+ to [\d.]+ % \(0 gained, 0 lost\) on original test images, ", said)
    text = Path("challenge.md").read_text()
    assert [row[0] for row in tables(text)[0]][1:] == ["300 original test images", "120 production images held out"]
    assert ["rows.<b>", "1"] in tables(text)[1]
    assert text.endswith("The report.\n")


def test_a_violated_limit_and_a_verdict_that_is_none(repository, monkeypatch, capsys):
    run(monkeypatch, capsys, "keep", "--stage=production")
    Path("dvc.lock").write_text("a: 2\n")
    path = Path("results/check/verdict.json")
    content = json.loads(path.read_text())
    content["limits"][0]["passed"] = content["passed"] = False
    path.write_text(json.dumps(content))
    said = run(monkeypatch, capsys, "compare", "--out=challenge.md")
    assert said == f"proposed=false\nsummary=limits violated: {content['limits'][0]['metric']}\n"
    path.unlink()
    with pytest.raises(ChallengeError, match="no verdict that can be read"):
        run(monkeypatch, capsys, "compare", "--out=challenge.md")


def test_without_version_and_model_there_is_no_champion(repository, monkeypatch, capsys):
    Path("models/model.onnx").unlink()
    with pytest.raises(ChallengeError, match=r"models/model\.onnx is not there: run `dvc pull`"):
        run(monkeypatch, capsys, "keep", "--stage=production")


def test_a_stage_that_is_none_has_no_champion(repository, monkeypatch, capsys):
    """It comes with the request, from anybody who may send one."""
    with pytest.raises(ChallengeError, match=r"stage '\.\./x' is none of params\.yaml's delivery\.stages: "):
        run(monkeypatch, capsys, "keep", "--stage=../x")


def test_a_version_in_the_stage_is_the_champion(repository, monkeypatch, capsys):
    repository.trained("b")
    repository.tag("mnist@v0.1.0", "b")
    repository.tag("mnist#production#1", "b")
    assert run(monkeypatch, capsys, "keep", "--stage=production") == "champion: v0.1.0, as in production\n"
    assert Path("champion/model.onnx").read_bytes() == b"b"
