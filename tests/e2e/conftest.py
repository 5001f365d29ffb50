import shutil

import pytest

from tests.e2e.project import FAST, ROOT, Project, environment, warmed
from tests.prepared import prepared


@pytest.fixture(scope="session")
def env(tmp_path_factory):
    with warmed(environment(tmp_path_factory.mktemp("home"))) as env:
        yield env


@pytest.fixture(scope="session")
def checkout(tmp_path_factory, env) -> Project:
    """The project as it stands, committed, with nothing pulled. Do not change it."""

    def prepare(folder):
        listed = Project(ROOT, env).run("git", "-c", "safe.directory=*", "ls-files", "-coz", "--exclude-standard")
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        project = Project(folder, env)
        project.git("init", "--quiet", "--initial-branch", "main")
        project.commit("all of it")

    return Project(prepared(tmp_path_factory, "checkout", prepare), env)


@pytest.fixture(scope="session")
def pulled(checkout, tmp_path_factory, env) -> Project:
    """A clone after a bare `dvc pull`. Do not change it."""

    def prepare(folder):
        checkout.clone(folder).dvc("pull")

    return Project(prepared(tmp_path_factory, "pulled", prepare), env)


@pytest.fixture(scope="session")
def fast(pulled, tmp_path_factory, env) -> Project:
    """The pipeline run with a smaller model, and committed. Do not change it."""

    def prepare(folder):
        project = pulled.copy(folder)
        project.change(FAST)
        assert project.repro() == ("train", "export", "evaluate", "check")
        project.commit("a smaller model")

    return Project(prepared(tmp_path_factory, "fast", prepare), env)


@pytest.fixture(scope="session")
def pushed(fast, tmp_path_factory, env) -> Project:
    """The same, with what it names in the remote, and that committed. Do not change it."""

    def prepare(folder):
        project = fast.copy(folder)
        project.dvc("push")
        project.commit("push")

    return Project(prepared(tmp_path_factory, "pushed", prepare), env)


@pytest.fixture
def project(fast, tmp_path) -> Project:
    """A copy of `fast`, to be changed."""
    return fast.copy(tmp_path / "project")
