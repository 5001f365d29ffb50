"""The benchmarks measure what they say: a change that they make is one, and their steps are the workflow's."""

import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import machine, pull_request, report

ROOT = Path(__file__).parents[1]


def test_a_text_is_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_text("one two one")
    machine.replace(path, "one", "1")
    assert path.read_text() == "1 two 1"


def test_a_text_that_is_not_there_is_no_change_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("one")
    with pytest.raises(LookupError, match="no 'two' to be replaced"):
        machine.replace(path, "two", "2")


@pytest.mark.parametrize(("file", "old", "new"), [*pull_request.CHANGES.values(), *report.CHANGES])
def test_what_a_benchmark_replaces_is_there(file, old, new):
    text = (ROOT / file).read_text()
    assert text.replace(old, new) != text


def test_the_steps_of_a_pull_request_are_those_of_the_workflow():
    steps = yaml.safe_load((ROOT / ".github/workflows/ml-pipeline.yml").read_text())["jobs"]["pipeline"]["steps"]
    scripts = [step.get("run", "").replace("make plots", "python -m reporting.plots") for step in steps]
    commands = [" ".join(step).replace(sys.executable, "python").partition(" --base")[0] for step in pull_request.STEPS]
    places = [next(n for n, script in enumerate(scripts) if command in script) for command in commands]
    assert places == sorted(places)
