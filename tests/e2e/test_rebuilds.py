"""`dvc repro` rebuilds only what changed: one test a row of the README's table."""

import dataclasses
import re
import shutil
from collections.abc import Callable

import pytest

from tests import synthetic
from tests.e2e.project import ROOT, STAGES, Project

pytestmark = pytest.mark.e2e

HEADING = "### What runs when"


def labelled(project: Project) -> None:
    """An export of a few images that came with their labels."""
    synthetic.write_production(project.path / "data/production", synthetic.digits(40))
    project.dvc("add", "data/production")


@dataclasses.dataclass(frozen=True)
class Row:
    """What is touched, in the README's words; the stages that run; how the test touches it."""

    touched: str
    runs: tuple[str, ...]
    touch: Callable[[Project], object]


ROWS = (
    Row("nothing", (), lambda project: None),
    Row("README.md", (), lambda project: (project / "README.md").write_text("Other words\n")),
    Row("a comment in digits/params.py", STAGES, lambda project: project.comment("digits/params.py")),
    Row("a comment in digits/training.py", ("train",), lambda project: project.comment("digits/training.py")),
    Row("a comment in stages/export.py", ("export",), lambda project: project.comment("stages/export.py")),
    Row("a comment in digits/scoring.py", ("evaluate",), lambda project: project.comment("digits/scoring.py")),
    Row("model.channels", STAGES[2:], lambda project: project.set(model__channels=[4, 10])),
    Row("train.learning_rate", STAGES[2:], lambda project: project.set(train__learning_rate=0.1)),
    Row("data/production (labelled images)", STAGES[1:], labelled),
    Row("preprocess.validation_size", STAGES[1:], lambda project: project.set(preprocess__validation_size=4000)),
    Row("evaluate.seed", ("evaluate", "check"), lambda project: project.set(evaluate__seed=1)),
    Row("check.limits.accuracy.above", ("check",), lambda project: project.set(check__limits__accuracy__above=0.9)),
    Row("the folder models/ (deleted)", (), lambda project: shutil.rmtree(project / "models")),
)
OTHER_DATA = ("data.dataset", STAGES)
BACK = ("params set back to what they were", ("check",))  # the only one that DVC keeps no earlier runs of


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.touched)
def test_runs_what_depends_on_it_and_nothing_else(project, row):
    row.touch(project)

    assert project.repro() == row.runs
    assert None not in project.outputs().values()


def test_another_data_set_runs_everything(project):
    project.set(data__dataset="FashionMNIST")
    output = project.dvc("repro", fails=True)  # there is no network here

    assert "Running stage 'fetch'" in output
    assert "Running stage 'preprocess'" not in output
    assert "data/raw/FashionMNIST/train-images-idx3-ubyte.gz: could not be fetched with MD5" in output
    assert "Name a mirror within reach in MNIST_MIRRORS" in output

    # Stand-ins for the archives, accepted as what fetch would have written.
    (project / "data/raw/MNIST").rename(project / "data/raw/stand-in")
    shutil.rmtree(project / "data/raw/FashionMNIST", ignore_errors=True)
    (project / "data/raw/stand-in").rename(project / "data/raw/FashionMNIST")
    project.dvc("commit", "--force", "fetch")

    assert project.repro() == STAGES[1:]


def test_going_back_restores_what_was_there(project):
    before, lock = project.outputs(), project.lock
    seed = project.params["evaluate"]["seed"]
    project.set(evaluate__seed=seed + 1)
    assert project.repro() == ("evaluate", "check")
    assert project.outputs() != before

    project.set(evaluate__seed=seed)

    assert project.repro() == BACK[1]
    assert project.lock == lock
    assert project.outputs() == before


def test_the_readme_states_the_same():
    _, _, after = (ROOT / "README.md").read_text().partition(HEADING + "\n")
    table = re.match(r"[^|#]*((?:\|.*\n)+)", after)
    assert table, f"README.md has no table under {HEADING!r}"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].replace("`", "").splitlines()]
    stated = {first: second for first, second, *_ in cells[2:]}

    assert stated == {
        touched: ", ".join(runs) or "nothing"
        for touched, runs in [*((row.touched, row.runs) for row in ROWS), OTHER_DATA, BACK]
    }
