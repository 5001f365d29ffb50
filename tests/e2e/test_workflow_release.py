""".github/workflows/ml-pipeline.yml, its last job, executed: what becomes of a model that was merged."""

import pytest

from tests.e2e.github.server import Server

pytestmark = pytest.mark.e2e

ALL = ["Install", "Release", "Assign to staging", "Deploy"]


@pytest.fixture
def project(pushed, tmp_path):
    """On main, with a workflow whose last job does not wait for the others, which have tests of their own."""
    project = pushed.copy(tmp_path / "project")
    path = project / ".github/workflows/ml-pipeline.yml"
    text = path.read_text()
    alone = text.replace("    needs: [tests, pipeline]\n", "")
    assert alone != text
    path.write_text(alone)
    project.commit()
    return project


@pytest.fixture
def server(project, tmp_path):
    return Server(project, tmp_path / "github")


def merged(server):
    return server.push(server.commit(), job="release")


def tags(project):
    lines = project.git("tag", "--list", "--format=%(refname:strip=2) %(*objectname) %(taggername)").splitlines()
    return {name: (commit, by) for name, commit, by in map(str.split, lines)}


def deploy(tag):
    return {"file": "deploy.yml", "ref": "main", "inputs": {"ref": tag}}


def test_a_model_is_released_assigned_and_deployed_once(project, server):
    first = merged(server)
    head = server.commit()

    assert first.passed, first.output
    assert [name for name in first.steps if name in ALL] == ALL
    assert tags(project) == {"mnist@v0.0.1": (head, "colleague"), "mnist#staging#1": (head, "colleague")}
    assert server.dispatched() == [deploy("mnist#staging#1")]
    assert first.summary.startswith("mnist v0.0.1\n\n# Model card: MNIST classifier\n")
    assert "staging: v0.0.1 (was empty), tag mnist#staging#1" in first.summary

    (project / "README.md").write_text("Other words\n")
    project.commit()
    second = merged(server)

    assert second.passed, second.output
    assert "Deploy" not in second.steps
    assert len(tags(project)) == 2
    assert len(server.dispatched()) == 1
    assert second.summary.startswith(
        "the model is that of mnist v0.0.1: nothing to release\nstaging has v0.0.1 already"
    )


def test_what_somebody_took_back_from_staging_stays_away(project, server):
    project.run("gto", "register", "mnist", "HEAD~3")  # the model before
    project.run("gto", "assign", "mnist", "--version", "v0.0.1", "--stage", "staging")
    run = merged(server)

    assert run.passed, run.output
    assert set(tags(project)) == {"mnist@v0.0.1", "mnist#staging#1", "mnist@v0.0.2", "mnist#staging#2"}
    project.run("gto", "assign", "mnist", "--version", "v0.0.1", "--stage", "staging", "--force")
    (project / "README.md").write_text("Other words\n")
    project.commit()
    run = merged(server)

    assert run.passed, run.output
    assert "staging had v0.0.2 before, and has v0.0.1 now: left as it is" in run.summary
    assert server.dispatched() == [deploy("mnist#staging#2")]


def test_what_is_not_fit_becomes_no_version(project, server):
    project.set(evaluate__seed=5)
    project.commit()
    run = merged(server)

    assert run.failed == ["Release"]
    assert "dvc.lock is stale: evaluate" in run.output
    assert (tags(project), server.dispatched()) == ({}, [])


def test_nothing_is_released_but_what_is_on_main(project, server):
    project.git("switch", "--quiet", "--create", "change")
    assert merged(server).steps == {}
    assert server.run("ml-pipeline", "workflow_dispatch", {}, job="release").steps == {}
    assert (tags(project), server.dispatched()) == ({}, [])
