"""Which of the branches that the export pushed to train on: the one that is named, or the newest."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from delivery import git
from digits.errors import PipelineError

POINTER = Path("data/production.dvc")
REMOTE = "refs/remotes/origin"
AGAIN = "push another with `make export-feedback STAGE=production PUSH=1`"
_NAME = re.compile(r"feedback/[0-9A-Za-z][0-9A-Za-z_-]{0,60}", re.ASCII)
_TIMED = re.compile(r"feedback/\d{8}T\d{6}Z", re.ASCII)  # as the export calls them


class AdoptionError(PipelineError):
    """A branch is not one of the export's, or does not hold what the export writes."""


def checked(branch: str) -> str:
    """The name of a branch, if the export could have given it.

    Raises:
        AdoptionError: it could not.
    """
    if not _NAME.fullmatch(branch):
        raise AdoptionError(f"{branch[:100]!r} is no branch of the export; expected one like feedback/20261124T173000Z")
    return branch


def newest(answered: str = "") -> str | None:
    """The export's newest branch at origin, by its name, which is a time; None where there is none to train on.

    There is none, either, if the newest was `answered` (its commit), or is without the data of this commit.
    """
    listed = git.git(".", "for-each-ref", "--format=%(refname)", f"{REMOTE}/feedback/").splitlines()
    now = f"{datetime.now(UTC):feedback/%Y%m%dT%H%M%SZ}"
    names = [name.removeprefix(f"{REMOTE}/") for name in listed]
    branch = max((name for name in names if _TIMED.fullmatch(name) and name <= now), default=None)
    if branch is None:
        return None
    if commit_of(branch) == answered:
        print(f"{branch}: a retraining with it was proposed or refused already", file=sys.stderr)
        return None
    if older(branch):
        print(f"{branch}: without the data of this commit", file=sys.stderr)
        return None
    return branch


def older(branch: str, base: str = "HEAD") -> bool:
    """Whether a branch was exported without the data of `base`: to go over to it would be to lose labels.

    Raises:
        AdoptionError: there is no such branch.
    """
    here = git.git(".", "log", "-1", "--format=%H", base, "--", str(POINTER)).strip()
    return bool(here and git.git(".", "rev-list", "--max-count=1", here, f"^{commit_of(branch)}").strip())


def commit_of(branch: str) -> str:
    """The commit of a branch at origin.

    Raises:
        AdoptionError: there is no such branch.
    """
    try:
        return git.git(".", "rev-parse", "--verify", "--quiet", f"{REMOTE}/{branch}^{{commit}}").strip()
    except git.GitError:
        raise AdoptionError(f"origin has no branch {branch}; {AGAIN}") from None
