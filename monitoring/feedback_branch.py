"""Shares an export as a branch, made in a worktree of its own: the user's files and branches stay as they are."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from delivery.git import GitError, git
from digits.errors import PipelineError
from monitoring import branches, earlier
from monitoring.export import Export

REMOTE = "origin"
BASE = f"{REMOTE}/main"
PREFIX = "feedback/"
_LOCAL = Path(".dvc/config.local")


class BranchError(PipelineError):
    """An export could not be shared."""


def push(folder: Path, make: Callable[[Path], Export]) -> str | None:
    """Push an export's files to the DVC remote, and what names them as a new branch from origin's main.

    Args:
        folder: of the export, in the repository.
        make: makes it, given where main's is; that need not be there.

    Returns:
        the branch, `feedback/` and the time in UTC; None where main has this export already.

    Raises:
        PipelineError: nothing was shared, or only files in the DVC remote that nothing names yet.
    """
    git(".", "fetch", "--quiet", REMOTE, "main")
    with _worktree(git(".", "rev-parse", "FETCH_HEAD").strip()) as tree:
        pointer = f"{folder}.dvc"
        if (tree / pointer).exists():
            _dvc(tree, "pull", str(folder))
        made = make(tree / folder)
        earlier.write(tree / folder, made)
        _dvc(tree, "add", str(folder))
        if not git(tree, "status", "--porcelain", "--", pointer).strip():
            return None
        _dvc(tree, "push", str(folder))
        # The embedded remote is part of the repository.
        git(tree, "add", "--", pointer, *([".dvcstore"] if (tree / ".dvcstore").exists() else []))
        # Hooks ask for a dvc.lock that is current: here it is stale on purpose, until the retraining has run.
        git(tree, "commit", "--quiet", "--no-verify", "--message", _message(made))
        branch = f"{PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        commit = git(tree, "rev-parse", "HEAD").strip()
        try:
            git(tree, "push", "--quiet", "--no-verify", REMOTE, f"{commit}:refs/heads/{branch}")
        except GitError as error:
            command = f"git push --no-verify {REMOTE} {commit}:refs/heads/{branch}"
            raise BranchError(f"{REMOTE} did not take the branch; export again, or: {command}\n  ({error})") from None
    return branch


def outdated(branch: str) -> bool:
    """Whether nobody would train on a branch that was pushed: main has later data by now, or it is gone.

    Raises:
        GitError: origin can't be asked.
    """
    git(".", "fetch", "--quiet", REMOTE, "main")
    base = git(".", "rev-parse", "FETCH_HEAD").strip()
    try:
        git(".", "fetch", "--quiet", REMOTE, f"+refs/heads/{branch}:{branches.REMOTE}/{branch}")
    except GitError:
        return True
    return branches.older(branch, base)


@contextlib.contextmanager
def _worktree(commit: str) -> Iterator[Path]:
    git(".", "worktree", "prune")  # what a killed export has left behind
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git(".", "worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            _carry_local_config(tree)
            yield tree
        finally:
            git(".", "worktree", "remove", "--force", str(tree))


def _carry_local_config(tree: Path) -> None:
    """Where the DVC remote is for this user, and how he is let in: Git does not have it."""
    if not _LOCAL.exists():
        return
    from dvc.config import Config, ConfigError  # noqa: PLC0415, takes a second

    try:
        local = Config(".dvc", validate=False).read("local")
        with Config(str(tree / ".dvc"), validate=False).edit("local") as config:
            config.update(local)  # paths are taken over to where they are from there
    except ConfigError as error:
        raise BranchError(f"{_LOCAL}: {error}; mend it, then export again") from None
    shutil.copymode(_LOCAL, tree / _LOCAL)


def _dvc(tree: Path, *arguments: str) -> None:
    command = ["dvc", arguments[0], "--quiet", *arguments[1:]]
    try:
        answer = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BranchError("dvc: not found; put the environment on the path: `source .venv/bin/activate`") from None
    if answer.returncode:
        words = " ".join(answer.stderr.split())
        raise BranchError(f"nothing was shared, for `dvc {arguments[0]}` failed: {words}; mend that, then export again")


def _message(made: Export) -> str:
    taken = made.provenance["taken"]
    counts = f"{sum(taken['train'])} to train on, {sum(taken['holdout'])} to compare models on"
    return f"Labelled production data: {counts}\n\nLabels of {made.provenance['since']} to {made.provenance['until']}."
