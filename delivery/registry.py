"""Which versions there are, and which of them runs where: what the GTO tags of a repository say.

    mnist@v0.1.0          registers a version, mnist@v0.1.0! withdraws it
    mnist#staging#3       assigns the version of its commit to a stage, mnist#staging!#4 takes it out

GTO writes the tags (release.py, promote.py). They are read here by Git alone: in milliseconds, and from repositories
that are not on this machine. The rules are GTO's; of tags of the same second, the one with the higher number is later.
"""

import dataclasses
import functools
import re
from datetime import datetime
from pathlib import Path

from delivery import git
from digits.errors import PipelineError

_NUMBERS = r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)"
_VERSION = re.compile(rf"v{_NUMBERS}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_STAGE = r"[a-zA-Z0-9](?:[a-zA-Z0-9-/_]*[a-zA-Z0-9])?"
_TAG = re.compile(
    rf"(?:@(?:(?P<version>{_VERSION.pattern})|(?P<retired>deprecated))|#(?P<stage>{_STAGE}))(?P<cancel>!?)(?:#(?P<number>\d+))?"
)


class RegistryError(PipelineError):
    """The tags contradict each other, or don't have what was asked for."""


@functools.total_ordering
@dataclasses.dataclass(frozen=True)
class Version:
    """A registered version of the artifact. Versions are in the order of their numbers."""

    name: str  # v0.1.0
    commit: str  # 40 hexadecimal digits
    tag: str
    when: datetime  # in UTC
    by: str
    message: str

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Major, minor, patch."""
        major, minor, patch = re.split(r"[-+]", self.name[1:])[0].split(".")
        return int(major), int(minor), int(patch)

    def __lt__(self, other: "Version") -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[tuple[int, int, int], bool, str]:
        return self.numbers, "-" not in self.name, self.name  # v1.0.0-rc comes before v1.0.0


@dataclasses.dataclass(frozen=True)
class Assignment:
    """A version that was put into a stage."""

    stage: str
    commit: str
    version: Version | None  # None: no version is registered at this commit
    tag: str
    when: datetime  # in UTC
    by: str
    message: str


@dataclasses.dataclass(frozen=True)
class Registry:
    """All that the tags say about one artifact."""

    artifact: str
    versions: list[Version]  # that can be used, the lowest first
    withdrawn: list[Version]
    events: dict[str, list[tuple[Assignment, bool]]]  # by stage, the oldest first; False: taken out
    retired: bool  # the whole artifact

    def history(self, stage: str) -> list[Assignment]:
        """What was assigned to a stage, the oldest first."""
        return [assignment for assignment, put in self.events.get(stage, []) if put]

    def find(self, name: str) -> Version:
        """A version by its name.

        Raises:
            RegistryError: there is no such version.
        """
        for version in self.versions:
            if version.name == name:
                return version
        known = ", ".join(version.name for version in reversed(self.versions)) or "none"
        gone = " (withdrawn)" if name in [version.name for version in self.withdrawn] else ""
        raise RegistryError(
            f"{self.artifact} has no version {name!r}{gone}, but {known}; if it was released elsewhere, fetch it with "
            f"`git fetch --tags`"
        )

    def version_of(self, commit: str) -> Version | None:
        """The version that is registered at a commit."""
        return next((version for version in self.versions if version.commit == commit), None)

    def assigned(self, stage: str) -> Assignment | None:
        """The assignment by which a stage has its current version; None where it is empty."""
        timeline = self._timeline(stage)
        return timeline[-1] if timeline else None

    def current(self, stage: str) -> Version | None:
        """The version in a stage, None where it is empty.

        Raises:
            RegistryError: what is assigned is no registered version.
        """
        found = self.assigned(stage)
        return _registered(found) if found else None

    def before(self, stage: str) -> Version | None:
        """The version to which a rollback leads; None where there was none before.

        A version that comes back takes what came after it out of the way, so that a second rollback leads further back
        and never forward again to what was left.
        """
        way: list[Assignment] = []
        for assignment in self._timeline(stage):
            commits = [step.commit for step in way]
            way = way[: commits.index(assignment.commit)] if assignment.commit in commits else way
            way.append(assignment)
        out = {assignment.commit: not put for assignment, put in self.events.get(stage, [])}
        usable = [step.version for step in way[:-1] if step.version in self.versions and not out[step.commit]]
        return usable[-1] if usable else None

    def _timeline(self, stage: str) -> list[Assignment]:
        """What the stage had after each event, as GTO tells: of what was not taken out, the last that was put in."""
        inside: dict[str, Assignment] = {}
        timeline: list[Assignment] = []
        for assignment, put in [] if self.retired else self.events.get(stage, []):
            if assignment.version in self.withdrawn:
                continue
            inside.pop(assignment.commit, None)
            if put:
                inside[assignment.commit] = assignment
            if inside:
                timeline.append(inside[next(reversed(inside))])
        return timeline if inside else []


def _registered(assignment: Assignment) -> Version:
    if assignment.version is None:
        raise RegistryError(
            f"tag {assignment.tag} assigns commit {assignment.commit[:7]} to {assignment.stage}, and no version is "
            f"registered there: its tag was moved or deleted, or not fetched; try `git fetch --tags`, or assign a "
            f"version with `make promote STAGE={assignment.stage} VERSION=...`"
        )
    return assignment.version


def read(repo: str | Path, artifact: str) -> Registry:
    """All that a repository's tags say about an artifact.

    Args:
        repo: working tree, bare clone, or an address that `git clone` takes.
        artifact: its name in dvc.yaml.

    Raises:
        GitError: there is no such repository, or it can't be reached.
        RegistryError: the tags contradict each other.
    """
    name = artifact.replace(":", "=")  # as GTO writes the name of an artifact in a subfolder
    parsed = []
    for tag in git.tags(repo, f"{name}@", f"{name}#"):
        if match := _TAG.fullmatch(tag.name[len(name) :]):
            parsed.append((tag.when, int(match["number"] or 0), tag.name, tag, match))
    parsed.sort(key=lambda entry: entry[:3])
    tags = [(tag, match) for *_, tag, match in parsed]

    versions: dict[str, Version] = {}
    usable: dict[str, bool] = {}
    for tag, match in tags:
        if called := match["version"]:
            version = Version(called, tag.commit, tag.name, tag.when, tag.by, tag.message)
            versions.setdefault(called, version)
            usable[called] = not match["cancel"]
            if versions[called].commit != tag.commit:
                raise _contradiction(versions[called], version, "one version can't be two commits")
    by_commit: dict[str, Version] = {}
    for version in versions.values():
        other = by_commit.setdefault(version.commit, version)
        if other is not version:
            raise _contradiction(other, version, "one commit can't be two versions")

    events: dict[str, list[tuple[Assignment, bool]]] = {}
    for tag, match in tags:
        if stage := match["stage"]:
            version_there = by_commit.get(tag.commit)
            assignment = Assignment(stage, tag.commit, version_there, tag.name, tag.when, tag.by, tag.message)
            events.setdefault(stage, []).append((assignment, not match["cancel"]))
    return Registry(
        artifact,
        sorted(version for version in versions.values() if usable[version.name]),
        sorted(version for version in versions.values() if not usable[version.name]),
        events,
        retired=bool(tags) and bool(tags[-1][1]["retired"]),
    )


def _contradiction(first: Version, second: Version, rule: str) -> RegistryError:
    return RegistryError(
        f"tags {first.tag} (commit {first.commit[:7]}, {first.by}) and {second.tag} (commit {second.commit[:7]}, "
        f"{second.by}) contradict each other: {rule}; tags never move: compare with those of the others by "
        f"`git ls-remote --tags origin`, and restore the right ones with `git fetch origin --tags --force`"
    )


def current(repo: str | Path, artifact: str, stage: str) -> Version | None:
    """The version that the tags of a repository assign to a stage, None where it is empty.

    Raises:
        GitError: there is no such repository, or it can't be reached.
        RegistryError: what is assigned is no registered version, or the tags contradict each other.
    """
    return read(repo, artifact).current(stage)


def fingerprint(repo: str | Path) -> str:
    """A text that changes whenever a tag is added, moved or deleted; one question to the repository, for polling.

    Raises:
        GitError: there is no such repository, or it can't be reached.
    """
    return git.fingerprint(repo)
