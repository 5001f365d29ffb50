"""Git, asked by its own commands: tags and files of a working tree, a bare clone or a repository at an address."""

import contextlib
import dataclasses
import os
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from digits.errors import PipelineError

SECONDS = 300  # after which a Git host does not answer any more

_FIELDS = ("refname:strip=2", "objecttype", "*objecttype", "*objectname", "taggerdate:unix", "taggername", "contents")
_FORMAT = "".join(f"%({field})%00" for field in _FIELDS)


class GitError(PipelineError):
    """Git refused, or there is no such repository. Its text ends with Git's own words."""


@dataclasses.dataclass(frozen=True)
class Tag:
    """An annotated tag of a commit."""

    name: str
    commit: str  # 40 hexadecimal digits
    when: datetime  # in UTC, in whole seconds
    by: str
    message: str


def git(repo: str | Path, *arguments: str) -> str:
    """What Git prints, run in the folder `repo`.

    Raises:
        GitError: it fails, does not come to an end, or is not installed.
    """
    answer = _run(repo, *arguments)
    if answer.returncode:
        raise GitError(f"{repo}: `git {arguments[0]}` failed: {answer.stderr.decode(errors='replace').strip()}")
    return answer.stdout.decode(errors="replace")


def _run(repo: str | Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = ["git", "-C", str(repo), *arguments]
    # Nobody is there to type a password: without one, Git fails at once instead of waiting.
    env = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    try:
        return subprocess.run(command, capture_output=True, env=env, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise GitError(f"{repo}: `git {arguments[0]}` has not answered for {SECONDS} seconds; try again") from None
    except FileNotFoundError:
        raise GitError("git: not found; install it") from None


def tags(repo: str | Path, *prefixes: str) -> list[Tag]:
    """Annotated tags of commits whose names begin with a prefix. Others are left out, as GTO leaves them out.

    Args:
        repo: working tree, bare clone, or an address that `git clone` takes.
        prefixes: for example `mnist@` and `mnist#`.

    Raises:
        GitError: there is no such repository, or it can't be reached.
    """
    with _local(repo, prefixes) as folder:
        text = git(folder, "for-each-ref", f"--format={_FORMAT}", "refs/tags/")
    found = []
    for record in text.split("\0\n")[:-1]:
        name, kind, target, commit, when, by, message = record.split("\0")
        if (kind, target) == ("tag", "commit") and when and name.startswith(prefixes):
            found.append(Tag(name, commit, datetime.fromtimestamp(int(when), UTC), by, message.strip()))
    return found


@contextlib.contextmanager
def _local(repo: str | Path, prefixes: tuple[str, ...]) -> Iterator[Path]:
    """A folder in which Git finds these tags: `repo` itself, or what is fetched of it, without any file."""
    if Path(repo).exists():
        yield Path(repo)
        return
    refs = [f"refs/tags/{prefix}*:refs/tags/{prefix}*" for prefix in prefixes]
    with tempfile.TemporaryDirectory() as folder:
        git(folder, "init", "--quiet", "--bare")
        try:
            git(folder, "fetch", "--quiet", "--depth=1", "--filter=tree:0", "--", str(repo), *refs)
        except GitError:
            # It fails, and says nothing, also where there is no such tag.
            if any(name.startswith(prefixes) for name in listed(repo)):
                raise
        yield Path(folder)


def listed(repo: str | Path) -> dict[str, str]:
    """Name of each tag, annotated or not, and the object that it names; one question to the repository.

    Raises:
        GitError: there is no such repository, or it can't be reached.
    """
    lines = git(".", "ls-remote", "--tags", "--", str(repo)).splitlines()
    pairs = [line.split("\t") for line in lines if not line.endswith("^{}")]
    return {ref.removeprefix("refs/tags/"): target for target, ref in pairs}


def read(repo: str | Path, commit: str, path: str) -> bytes | None:
    """A file as a commit has it, or None where there is none. `repo` is a working tree or a bare clone.

    Raises:
        GitError: Git does not come to an end, or is not installed.
    """
    answer = _run(repo, "show", f"{commit}:{path}")
    return answer.stdout if answer.returncode == 0 else None
