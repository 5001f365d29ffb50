"""GTO's tags of one artifact, in the order in which they count.

    mnist@v0.1.0        registers a version, mnist@v0.1.0! withdraws it
    mnist#staging#3     assigns the version at its commit to a stage, mnist#staging!#4 takes that version out again
    mnist@deprecated    retires the artifact until a later tag

GTO goes by the dates of the tags, in whole seconds. Of tags of one second, the one with the higher number is later.
"""

import dataclasses
import re
from pathlib import Path

from delivery import git

_NUMBERS = r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)"
_VERSION = rf"v{_NUMBERS}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_STAGE = r"[a-zA-Z0-9](?:[a-zA-Z0-9-/_]*[a-zA-Z0-9])?"
_REST = re.compile(
    rf"(?:@(?:(?P<version>{_VERSION})|deprecated)|#(?P<stage>{_STAGE}))(?P<cancel>!?)(?:#(?P<number>\d+))?"
)


@dataclasses.dataclass(frozen=True)
class Event:
    """What one tag does: to a version, to a stage, or, where it names neither, to the whole artifact."""

    tag: git.Tag
    version: str | None
    stage: str | None
    undone: bool  # withdrawn, taken out or retired

    @property
    def order(self) -> tuple[float, int, str]:
        """By which events are sorted."""
        number = self.tag.name.rpartition("#")[2]
        return self.tag.when.timestamp(), int(number) if number.isdigit() else 0, self.tag.name


def events(repo: str | Path, artifact: str) -> list[Event]:
    """What happened to an artifact, the oldest first.

    Raises:
        GitError: there is no such repository, or it can't be reached.
    """
    name = artifact.replace(":", "=")  # as GTO writes the name of one in a subfolder
    found = []
    for tag in git.tags(repo, f"{name}@", f"{name}#"):
        if match := _REST.fullmatch(tag.name[len(name) :]):
            version, stage = match["version"], match["stage"]
            found.append(Event(tag, version, stage, bool(match["cancel"]) or not (version or stage)))
    return sorted(found, key=lambda event: event.order)


def timeline(changes: list[tuple[str, bool]]) -> list[str]:
    """What a stage had after each change; empty if it has nothing in the end.

    Args:
        changes: a commit, and whether it was taken out (or else put in), the oldest first.

    GTO's rule: of all that was not taken out, what was put in last.
    """
    inside: dict[str, None] = {}
    states = []
    for commit, taken_out in changes:
        inside.pop(commit, None)
        if not taken_out:
            inside[commit] = None
        if inside:
            states.append(next(reversed(inside)))
    return states if inside else []


def way_back(states: list[str]) -> list[str]:
    """Where rollbacks from the last state lead, one after the other.

    What comes back takes all that came after it out of the way: a second rollback leads further back, never forward
    again to what the first one left.
    """
    way: list[str] = []
    for state in states:
        way = [*(way[: way.index(state)] if state in way else way), state]
    return way[-2::-1]
