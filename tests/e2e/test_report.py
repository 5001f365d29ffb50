"""`make report`: agrees with DVC, says what has to be done, and runs nothing that it is given to show."""

import json
import re

import pytest
import yaml

from tests.e2e.project import BIN, FAST
from tests.e2e.tables import NOT_THERE, rows, tables

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def compared(fast, tmp_path_factory):
    """A branch with the smaller model, run and committed, beside `main` with the default one. Do not change it."""
    project = fast.copy(tmp_path_factory.mktemp("report") / "project")
    project.git("switch", "--quiet", "--create", "smaller")
    project.git("branch", "--force", "main", "HEAD~1")
    return project


@pytest.fixture(scope="module")
def text(compared):
    """The report of it."""
    return report(compared)


def report(project, base="main", **options):
    project.run("python", "-m", "reporting.report", "--base", base, **options)
    return (project / "report.md").read_text()


def leaves(tree, prefix=""):
    """Dotted key and old and new value of what `dvc metrics diff` found in one file."""
    for key, value in tree.items():
        if isinstance(value, dict) and not {"old", "new"} <= value.keys():
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_metrics_are_those_of_dvc(compared, text):
    told = json.loads(compared.dvc("metrics", "diff", "--json", "--all", "main"))
    dvc = sorted((key, value["old"], value["new"]) for file in told.values() for key, value in leaves(file))
    found = rows(text, "metric", "base", "head", "difference")
    ours = sorted((key, *(float(cell.replace(",", "")) for cell in (base, head))) for key, base, head, _ in found)

    assert [key for key, *_ in ours] == [key for key, *_ in dvc]
    assert [values for _, *values in ours] == [pytest.approx(values, rel=1e-5) for _, *values in dvc]
    for _, base, head, gap in found:
        old, new, change = (float(cell.replace(",", "")) for cell in (base, head, gap))
        assert change == pytest.approx(new - old, rel=1e-5, abs=1e-12)


def test_params_are_those_of_dvc(compared, text):
    told = json.loads(compared.dvc("params", "diff", "--json", "main"))["params.yaml"]
    dvc = {key: (value["old"], value["new"]) for key, value in leaves(told)}
    found = rows(text, "param", "base", "head")

    assert {key: (json.loads(base), json.loads(head)) for key, base, head in found} == {
        key: tuple(json.loads(value) if isinstance(value, str) else value for value in values)
        for key, values in dvc.items()
    }
    default = dict(leaves(yaml.safe_load(compared.git("show", "main:params.yaml"))))
    assert set(dvc) == {key for key, value in FAST.items() if default[key] != value}


def test_what_a_reviewer_sees_first(text):
    first = text[: text.index("<details>")]

    assert first.startswith("## ✅ All 6 limits kept\n\n⚠️ **Test accuracy")
    assert re.search(
        r"\*\*Test accuracy 99\.\d\d % → 9\d\.\d\d %: worse by \d\.\d\d points, more than noise\*\* \(of", first
    )
    assert "`dvc.lock` is current: `dvc repro` has nothing to run; all results are as committed." in first
    assert [row[0] for row in tables(first)[0][1:]] == [
        "test accuracy", "wrong test images", "test loss", "parameters", "model file, bytes"
    ]  # fmt: skip
    assert [row[0] for row in rows(first, "limit", "value", "must be", "margin")][:2] == [
        "✅ parameters",
        "✅ accuracy",
    ]
    assert [row[0] for row in rows(text, "stage", "what makes it differ from the base")] == [
        "train", "export", "evaluate", "check"
    ]  # fmt: skip
    assert len(text) < 65_536


def test_counts_of_the_noise_test_explain_the_errors(text):
    gained, lost = map(int, re.search(r"of 10,000 images (\d+) newly right, (\d+) newly wrong", text).groups())
    errors = next(row for row in rows(text, *tables(text)[0][0]) if row[0] == "wrong test images")

    assert lost - gained == int(errors[3]) == int(errors[2]) - int(errors[1])


def test_a_clone_that_has_no_predictions_asks_the_remotes(compared, text, tmp_path):
    pushed = compared.copy(tmp_path / "pushed")
    pushed.dvc("push")
    pushed.commit("pushed")
    clone = pushed.clone(tmp_path / "clone")
    clone.dvc("remote", "modify", "--local", "embedded", "url", str(pushed / ".dvcstore"))
    clone.git("rm", "-r", "--quiet", "--cached", ".dvcstore")
    (clone / ".dvcstore").rename(tmp_path / "elsewhere")
    # As after a change of the remote: what Git had of the embedded one is not looked at either.
    source = (clone / "reporting/predictions.py").read_text()
    (clone / "reporting/predictions.py").write_text(source.replace('".dvcstore/', '".nowhere/'))
    asked = report(clone, "origin/main")

    assert re.search(r"of 10,000 images .*McNemar", asked)[0] == re.search(r"of 10,000 images .*McNemar", text)[0]


def test_predictions_that_were_never_pushed(compared, tmp_path):
    clone = compared.clone(tmp_path / "clone")
    text = report(clone, "origin/main")

    assert "the predictions of head are neither in the DVC cache nor in its remote" in text


def test_stale_then_recomputed_then_committed(compared, tmp_path):
    project = compared.copy(tmp_path / "project")
    project.set(evaluate__seed=5)
    project.commit()
    stale = report(project)
    project.repro()
    recomputed = report(project)
    project.commit()

    assert stale.startswith("## ⚠️ Out of date: run `dvc repro` first\n")
    assert "**`dvc.lock` is stale and was not recomputed**: `evaluate`, `check` would run" in stale
    assert "as committed is stale; recomputed here**: `evaluate`, `check`. Nothing was trained." in recomputed
    assert "`dvc.lock` is current" in report(project)


def test_violated_limits_are_reported_until_they_are_loosened(compared, tmp_path):
    project = compared.copy(tmp_path / "project")
    project.set(check__limits__accuracy__above=0.9999)
    project.commit()
    project.repro(fails=True)
    refused = report(project)
    project.set(check__limits__accuracy__above=0.5)
    loosened = report(project)

    assert refused.startswith("## ❌ 1 of 6 limits violated: `accuracy`\n")
    assert "`dvc.lock` is as committed, and holds nothing of `check`, which failed." in refused
    assert "`dvc.lock` is current" not in refused
    assert loosened.startswith("## ⚠️ Out of date: run `dvc repro` first\n")
    assert "**`dvc.lock` is stale and was not recomputed**: `check` would run" in loosened


def test_documentation_alone(pulled, tmp_path):
    project = pulled.copy(tmp_path / "project")
    project.git("checkout", "--quiet", "-b", "words")
    (project / "README.md").write_text("Other words\n")
    project.commit()
    text = report(project)

    assert ": the same answer to each of the 10,000 test images.**" in text
    assert "`dvc.lock` is current: `dvc repro` has nothing to run" in text
    assert "Stages that differ" not in text


def test_base_without_metrics(compared, tmp_path):
    project = compared.copy(tmp_path / "project")
    project.git("checkout", "--quiet", "--orphan", "first")
    project.git("rm", "-r", "--quiet", "--cached", ".")
    project.git("commit", "--quiet", "--allow-empty", "--message", "nothing yet")
    project.git("branch", "nothing")
    project.commit()
    text = report(project, "nothing")

    assert "**Nothing to compare with**: the base has no metrics." in text
    assert ["accuracy", NOT_THERE] in [row[:2] for row in rows(text, "metric", "base", "head", "difference")]


MAKE = ("make", "--assume-old", ".venv/installed", "report")  # without setting up an environment


@pytest.mark.parametrize("given", ["argument", "environment"])
def test_make_runs_nothing_that_a_base_is_called(compared, tmp_path, given):
    project = compared.copy(tmp_path / "project")
    (project / ".venv").mkdir()
    for part in ("bin", "lib", "pyvenv.cfg"):
        (project / ".venv" / part).symlink_to(BIN.parent / part)

    def make(base, **options):
        if given == "argument":
            return project.run(*MAKE, f"BASE={base}", **options)
        return project.run(*MAKE, env={"BASE": base}, **options)

    branch = "it's-$(shell>pwned)-`id>pwned`-\"$(id>pwned)"  # as bad as Git allows
    project.git("branch", branch, "main")
    make(branch)
    output = make("$(shell touch pwned) $$(touch pwned) `touch pwned`", fails=True)

    assert "it's-$(shell>pwned)" in (project / "report.md").read_text()
    assert "error: base revision '$(shell touch pwned) $$(touch pwned) `touch pwned`' is not in" in output
    assert not (project / "pwned").exists()


def test_a_base_that_was_not_fetched(compared):
    output = compared.run("python", "-m", "reporting.report", "--base", "upstream/main", fails=True)

    assert "error: base revision 'upstream/main' is not in this repository" in output
    assert "`git fetch upstream main`" in output
