import shutil

import pytest

from tests.e2e.project import FAST, ROOT, Project, environment


@pytest.fixture(scope="session")
def env(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def checkout(tmp_path_factory, env) -> Project:
    """The project as it stands, committed, with nothing pulled. Do not change it."""
    project = Project(tmp_path_factory.mktemp("checkout"), env)
    listed = Project(ROOT, env).run("git", "-c", "safe.directory=*", "ls-files", "-coz", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, project / name)
    project.git("init", "--quiet", "--initial-branch", "main")
    project.commit("all of it")
    return project


@pytest.fixture(scope="session")
def pulled(checkout, tmp_path_factory) -> Project:
    """A clone after a bare `dvc pull`. Do not change it."""
    project = checkout.clone(tmp_path_factory.mktemp("pulled") / "project")
    project.dvc("pull")
    return project


@pytest.fixture(scope="session")
def fast(pulled, tmp_path_factory) -> Project:
    """The pipeline run with a smaller model, and committed. Do not change it."""
    project = pulled.copy(tmp_path_factory.mktemp("fast") / "project")
    project.change(FAST)
    assert project.repro() == ("train", "export", "evaluate", "check")
    project.commit("a smaller model")
    return project


@pytest.fixture(scope="session")
def pushed(fast, tmp_path_factory) -> Project:
    """The same, with what it names in the remote, and that committed. Do not change it."""
    project = fast.copy(tmp_path_factory.mktemp("pushed") / "project")
    project.dvc("push")
    project.commit("push")
    return project


@pytest.fixture
def project(fast, tmp_path) -> Project:
    """A copy of `fast`, to be changed."""
    return fast.copy(tmp_path / "project")
