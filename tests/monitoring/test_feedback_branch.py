"""Real Git and DVC, in a repository that has nothing else."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from delivery.git import GitError, git
from digits import production
from digits.dataset import Labelled
from digits.production import Production
from monitoring.export import Export
from monitoring.feedback_branch import BranchError, outdated, push
from tests import synthetic

pytestmark = pytest.mark.e2e

FOLDER = Path("data/production")
NONE = synthetic.digits(0)


def export(count: int) -> Export:
    taken = {"train": np.bincount(synthetic.digits(count).labels).tolist(), "holdout": [0]}
    provenance = {"taken": taken, "since": "2026-11-01T00:00:00Z", "until": "2026-11-02T00:00:00Z"}
    data = Labelled(*synthetic.digits(count))
    times = (np.zeros(count, np.int64), np.zeros(0, np.int64))
    return Export(Production("MNIST", data, NONE), provenance, [], times, frozenset())


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A clone, as the working folder: with a DVC remote in it, and work that is not finished."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "test@example.org")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch", "main", "origin.git")
    git(tmp_path, "clone", "--quiet", "origin.git", "project")
    monkeypatch.chdir(tmp_path / "project")
    git(".", "switch", "--quiet", "--create", "main")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\nremote = embedded\n['remote \"embedded\"']\nurl = ../.dvcstore\n")
    Path(".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    Path(".dvcstore").mkdir()
    Path(".dvcstore/kept").touch()
    Path(".gitignore").write_text("/data/production\n")
    git(".", "add", "--all")
    git(".", "commit", "--quiet", "--message", "beginning")
    git(".", "push", "--quiet", "origin", "main")
    git(".", "commit", "--quiet", "--allow-empty", "--message", "not meant for others yet")
    Path(".gitignore").write_text("/data/production\n/not finished\n")
    before = surroundings()
    yield tmp_path / "project"
    assert surroundings() == before  # whatever happened


def surroundings() -> list[str]:
    """The user's files, branches and worktrees."""
    commands = (("status", "--porcelain"), ("diff",), ("for-each-ref", "refs/heads"), ("worktree", "list"))
    return [*(git(".", *command) for command in commands), str(sorted(os.listdir()))]  # noqa: PTH208


def shared() -> list[str]:
    """Branches that origin has."""
    return [line.split("\t")[1] for line in git(".", "ls-remote", "--heads", "origin").splitlines()]


def changed(branch: str) -> set[str]:
    """Files that a branch changes of main, with the folder alone of DVC's objects."""
    git(".", "fetch", "--quiet", "origin", branch)
    return {name[:9] for name in git(".", "diff", "--name-only", "origin/main", "FETCH_HEAD").split()}


def test_a_branch_has_the_export_and_nothing_else(project):
    branch = push(FOLDER, lambda _: export(30))
    assert branch is not None
    assert shared() == [f"refs/heads/{branch}", "refs/heads/main"]
    assert changed(branch) == {"data/prod", ".dvcstore"}
    assert git(".", "log", "--format=%B", "origin/main..FETCH_HEAD").strip() == (
        "Labelled production data: 30 to train on, 0 to compare models on\n\n"
        "Labels of 2026-11-01T00:00:00Z to 2026-11-02T00:00:00Z."
    )
    git(".", "push", "--quiet", "origin", "FETCH_HEAD:main")
    assert push(FOLDER, lambda _: export(30)) is None
    assert push(FOLDER, lambda _: export(31)) is not None


def test_what_main_has_is_there_to_be_kept(project):
    branch = push(FOLDER, lambda _: export(30))
    git(".", "fetch", "--quiet", "origin", str(branch))
    git(".", "push", "--quiet", "origin", "FETCH_HEAD:main")
    found = []

    def make(folder: Path) -> Export:
        found.append(production.read(folder).train.labels.tolist())
        return export(31)

    assert push(FOLDER, make) is not None
    assert found == [synthetic.digits(30)[1].tolist()]


def test_a_branch_is_outdated_once_main_has_later_data_or_it_is_gone(project):
    first = str(push(FOLDER, lambda _: export(30)))
    git(".", "fetch", "--quiet", "origin", first)
    main = git(".", "rev-parse", "origin/main").strip()
    git(".", "push", "--quiet", "origin", f"{main}:refs/heads/feedback/other")
    assert not outdated(first)
    git(".", "push", "--quiet", "origin", "FETCH_HEAD:main")
    assert not outdated(first)  # it is what main has
    assert outdated("feedback/other")
    git(".", "push", "--quiet", "origin", "--delete", first)
    assert outdated(first)
    git(".", "update-ref", "-d", f"refs/remotes/origin/{first}")


def test_files_go_to_the_remote_that_this_user_has(project, tmp_path):
    # As seen from .dvc, which a worktree has elsewhere.
    Path(".dvc/config.local").write_text("[core]\nremote = own\n['remote \"own\"']\nurl = ../../own\n")
    branch = push(FOLDER, lambda _: export(30))
    assert branch is not None
    assert changed(branch) == {"data/prod"}
    assert len([path for path in (tmp_path / "own").rglob("*") if path.is_file()]) == 5


def test_a_branch_that_origin_refuses_can_be_pushed_later(project, tmp_path):
    hook = tmp_path / "origin.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'not today' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(BranchError, match=r"(?s)^origin did not take the branch; .*not today") as caught:
        push(FOLDER, lambda _: export(30))
    assert shared() == ["refs/heads/main"]
    hook.unlink()
    command = str(caught.value).partition("or: ")[2].splitlines()[0]
    subprocess.run(command.split(), check=True, capture_output=True)
    assert len(shared()) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "[core]\nremote = own\n['remote \"own\"']\nurl = /dev/null/nowhere\n",
            r"nothing was shared, for `dvc push` failed: ",
        ),
        ("[core\n", r"\.dvc/config\.local: .*mend it, then export again"),
    ],
    ids=["unreachable", "damaged"],
)
def test_a_dvc_remote_that_does_not_work_is_named_and_nothing_is_shared(project, given, message):
    Path(".dvc/config.local").write_text(given)
    with pytest.raises(BranchError, match=message):
        push(FOLDER, lambda _: export(30))
    assert shared() == ["refs/heads/main"]


def test_an_origin_that_is_not_there_is_named(project, tmp_path):
    (tmp_path / "origin.git").rename(tmp_path / "elsewhere.git")
    with pytest.raises(GitError, match="`git fetch` failed"):
        push(FOLDER, lambda _: export(30))


def test_without_dvc_nothing_is_shared(project, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    for program in ("git", "sh"):
        found = subprocess.run(["which", program], capture_output=True, text=True, check=True).stdout.strip()
        (tmp_path / "bin" / program).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(BranchError, match=r"^dvc: not found; put the environment on the path"):
        push(FOLDER, lambda _: export(30))
