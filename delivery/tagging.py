"""New tags: written by GTO, shared with others through origin, where whoever pushes first wins."""

import contextlib
import fcntl
import math
import shlex
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from delivery import git, gto_tags, registry
from digits.errors import PipelineError

REMOTE = "origin"
PATIENCE = 5  # seconds that the newest tag may lie in the future


class TaggingError(PipelineError):
    """A tag could not be written or shared."""


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until nobody else writes tags in this clone: GTO looks for the next free name, and then takes it."""
    folder = Path(git.git(".", "rev-parse", "--git-common-dir").strip())
    with (folder / "delivery.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def fetch(artifact: str) -> None:
    """Bring the artifact's tags that origin has.

    Raises:
        GitError: origin can't be reached.
        TaggingError: a tag is another one there than here. Neither is changed.
    """
    prefixes = gto_tags.prefixes(artifact)
    ours, theirs = (
        {name: target for name, target in git.listed(where).items() if name.startswith(prefixes)}
        for where in (".", REMOTE)
    )
    moved = [name for name in ours if theirs.get(name, ours[name]) != ours[name]]
    if moved:
        names = " ".join(map(shlex.quote, moved))
        raise TaggingError(
            f"not the same here and on {REMOTE}: {', '.join(moved)}; tags never move. If nobody else has yours, take "
            f"theirs with `git tag --delete {names} && git fetch {REMOTE} --tags`; if theirs was moved, put yours back "
            f"with `git push --force {REMOTE} {names}`"
        )
    if missing := [f"refs/tags/{name}:refs/tags/{name}" for name in theirs if name not in ours]:
        git.git(".", "fetch", "--quiet", "--no-tags", REMOTE, *missing)


def share(artifact: str, *names: str, push: bool) -> None:
    """Push tags to origin, all or none, or say how to; the last is the new one, the others are those that it needs.

    Where somebody has pushed another one of that name in the meantime, the new one is taken back, since nobody else has
    seen it; where origin can't be reached, it stays.

    Raises:
        TaggingError: they are not shared. Its text says what to do.
    """
    command = f"git push {REMOTE} {' '.join(map(shlex.quote, names))}"
    if not push:
        if REMOTE in git.git(".", "remote").split():
            print(f"share it with: {command}")
        return
    ours = git.listed(".")
    try:
        git.git(".", "push", "--quiet", "--atomic", REMOTE, *(f"refs/tags/{name}" for name in names))
    except git.GitError as error:
        new = names[-1]
        with contextlib.suppress(git.GitError):
            if git.listed(REMOTE).get(new, ours[new]) != ours[new]:
                git.git(".", "tag", "--delete", new)
                fetch(artifact)
                raise TaggingError(f"{_winner(artifact, new)}; look at `make versions`, then try again") from None
        raise TaggingError(f"made {new}, but {REMOTE} did not take it; share it with: {command}\n  ({error})") from None
    print(f"shared with {REMOTE}")


def _winner(artifact: str, name: str) -> str:
    found = next((tag for tag in git.tags(".", *gto_tags.prefixes(artifact)) if tag.name == name), None)
    by = f"{found.by}, for commit {found.commit[:7]}" if found else "somebody else"
    return f"tag {name} was pushed to {REMOTE} first by {by}: yours is taken back"


def register(artifact: str, version: str, message: str) -> registry.Version:
    """Register the commit that is checked out.

    Raises:
        TaggingError: GTO refuses.
    """
    _gto("register", artifact, "HEAD", "--version", version, f"--message={message}")
    return registry.read(".", artifact).find(version)


def assign(artifact: str, stage: str, version: registry.Version, message: str) -> registry.Assignment:
    """Put a version into a stage, one that was there before as well.

    Raises:
        TaggingError: GTO refuses, or the clock is behind, so that the tag would not count.
    """
    history = registry.read(".", artifact).history.get(stage, [])
    if history:
        _wait_until_later(history[-1])
    known = any(entry.commit == version.commit for entry in history)
    force = ["--force"] if known else []  # GTO refuses what was there before
    _gto("assign", artifact, "--version", version.name, "--stage", stage, f"--message={message}", *force)
    after = registry.read(".", artifact)
    found = after.assigned(stage)
    if found is None or found.commit != version.commit:
        raise TaggingError(f"{version.name} was assigned to {stage}, but another one counts; look at `gto history`")
    return found


def _wait_until_later(last: registry.Assignment) -> None:
    """GTO goes by dates in whole seconds: a tag of the same second might not count, one that is earlier does not."""
    ahead = last.when.timestamp() + 1 - datetime.now(UTC).timestamp()
    if ahead > PATIENCE:
        raise TaggingError(
            f"tag {last.tag} of {last.by} is dated {math.ceil(ahead)} seconds after this machine's clock: a tag of now "
            f"would not count; set the clock that is wrong, or wait"
        )
    time.sleep(max(0.0, ahead))


def _gto(*arguments: str) -> None:
    try:
        answer = subprocess.run(["gto", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise TaggingError("gto: not found; put the environment on the path: `source .venv/bin/activate`") from None
    if answer.returncode:
        # Without its advice to report a defect, which this is not.
        words = " ".join(f"{answer.stdout} {answer.stderr}".partition("Please report")[0].split())
        who = (
            "; name yourself with `git config user.name` and `git config user.email`" if "must be conf" in words else ""
        )
        raise TaggingError(f"`gto {arguments[0]}` refuses: {words}{who}")
