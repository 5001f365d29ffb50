import pytest

from delivery import git
from delivery.git import GitError


@pytest.mark.parametrize(
    "ask",
    [
        lambda repo: git.git(repo, "status"),
        git.tags,
        git.listed,
        lambda repo: git.read(repo, "HEAD", "params.yaml"),
    ],
    ids=["git", "tags", "listed", "read"],
)
def test_a_machine_without_git_is_told_so(tmp_path, monkeypatch, ask):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match=r"^git: not found; install it$"):
        ask(tmp_path)
