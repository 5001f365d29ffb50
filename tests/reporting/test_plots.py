import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from reporting import plots

CURVE = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
    "data": {"values": [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]},
    "mark": "line",
    "encoding": {"x": {"field": "step", "type": "quantitative"}, "y": {"field": "loss", "type": "quantitative"}},
    "width": 100,
    "height": 50,
}


@pytest.fixture
def described(tmp_path, monkeypatch):
    """What DVC says about one curve and a picture of two revisions."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (7, 5)).save(name)
    pictures = [{"type": "image", "url": str(tmp_path / name)} for name in ("a.png", "b.png")]
    return {"results/loss.tsv": [{"type": "vega", "content": CURVE}], "results/worst.png": pictures}


def test_each_part_of_each_plot_becomes_a_picture(described):
    paths = plots.render(described, Path("out/pictures"))
    assert [path.name for path in paths] == ["results_loss.png", "results_worst.png", "results_worst_1.png"]
    with Image.open(paths[0]) as curve:
        assert curve.width > 200  # points, two pixels each
        assert len(curve.convert("RGB").getcolors(100_000)) > 2
    assert paths[1].read_bytes() == Path("a.png").read_bytes()


@pytest.mark.parametrize(("revisions", "asked"), [([], ["show"]), (["HEAD~1", "HEAD"], ["diff", "HEAD~1", "HEAD"])])
def test_revisions_are_passed_to_dvc_and_paths_are_printed(described, monkeypatch, capsys, revisions, asked):
    commands = []

    def answer(command: list[str], **_: object) -> subprocess.CompletedProcess:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, json.dumps({"data": described}).encode())

    monkeypatch.setattr(subprocess, "run", answer)
    monkeypatch.setattr(sys, "argv", ["plots", *revisions])
    plots.main()
    assert commands == [["dvc", "plots", *asked, "--json", "--out", "dvc_plots/pages"]]
    assert capsys.readouterr().out.split() == [
        "dvc_plots/results_loss.png",
        "dvc_plots/results_worst.png",
        "dvc_plots/results_worst_1.png",
    ]
