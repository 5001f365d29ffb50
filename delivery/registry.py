"""Which versions there are, and which of them is in which stage: what the GTO tags of a repository say.

GTO writes the tags (release.py, promote.py). They are read here by Git alone: in milliseconds, and from repositories
that are not on this machine.
"""

import dataclasses
import re
from datetime import datetime
from pathlib import Path

from delivery import git, gto_tags
from digits.errors import PipelineError


class RegistryError(PipelineError):
    """The tags contradict each other, or don't have what was asked for."""


@dataclasses.dataclass(frozen=True)
class Version:
    """A registered version of the artifact."""

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


@dataclasses.dataclass(frozen=True)
class Assignment:
    """What was put into a stage."""

    stage: str
    commit: str
    version: Version | None  # None: none is registered at this commit
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
    history: dict[str, list[Assignment]]  # by stage, the oldest first
    states: dict[str, list[str]]  # by stage: commits that it had, the current one last; empty for an empty stage
    taken_out: dict[str, set[str]]  # by stage: commits that somebody took out by hand

    def find(self, name: str) -> Version:
        """A version by its name.

        Raises:
            RegistryError: there is no such version.
        """
        for version in self.versions:
            if version.name == name:
                return version
        known = ", ".join(version.name for version in reversed(self.versions)) or "none"
        gone = ", which was withdrawn" if any(version.name == name for version in self.withdrawn) else ""
        raise RegistryError(
            f"{self.artifact} has no version {name!r}{gone}; there is {known} (`git fetch --tags` brings what others "
            f"have released)"
        )

    def version_of(self, commit: str) -> Version | None:
        """The version that is registered at a commit."""
        return next((version for version in self.versions if version.commit == commit), None)

    def assigned(self, stage: str) -> Assignment | None:
        """The assignment by which a stage has what it has; None where it is empty."""
        commits = self.states.get(stage)
        found = [entry for entry in self.history.get(stage, []) if commits and entry.commit == commits[-1]]
        return found[-1] if found else None

    def current(self, stage: str) -> Version | None:
        """The version in a stage; None where it is empty.

        Raises:
            RegistryError: what is assigned is no registered version.
        """
        found = self.assigned(stage)
        if found and found.version is None:
            raise RegistryError(
                f"tag {found.tag} assigns commit {found.commit[:7]} to {stage}, where no version is registered: its "
                f"tag was moved, deleted or not fetched; `git fetch --tags` brings it, `make promote STAGE={stage} "
                f"VERSION=...` assigns another"
            )
        return found.version if found else None

    def before(self, stage: str) -> Version | None:
        """The version that a rollback of the stage brings back; None where there is none to go back to."""
        for commit in gto_tags.way_back(self.states.get(stage, [])):
            version = self.version_of(commit)
            if version and commit not in self.taken_out[stage]:
                return version
        return None


def read(repo: str | Path, artifact: str) -> Registry:
    """All that a repository's tags say about an artifact.

    Args:
        repo: working tree, bare clone, or an address that `git clone` takes.
        artifact: its name in dvc.yaml.

    Raises:
        GitError: there is no such repository, or it can't be reached.
        RegistryError: the tags contradict each other.
    """
    events = gto_tags.events(repo, artifact)
    versions: dict[str, Version] = {}
    withdrawn: dict[str, bool] = {}
    by_commit: dict[str, Version] = {}
    for event in events:
        if event.version:
            tag = event.tag
            version = Version(event.version, tag.commit, tag.name, tag.when, tag.by, tag.message)
            for other in (versions.setdefault(version.name, version), by_commit.setdefault(version.commit, version)):
                if (other.name, other.commit) != (version.name, version.commit):
                    raise _contradiction(other, version)
            withdrawn[version.name] = event.undone
    ordered = sorted(versions.values(), key=lambda version: (version.numbers, "-" not in version.name, version.name))
    gone = {version.commit for version in ordered if withdrawn[version.name]}
    retired = bool(events) and not (events[-1].version or events[-1].stage)

    history: dict[str, list[Assignment]] = {}
    last: dict[str, dict[str, bool]] = {}
    changes: dict[str, list[tuple[str, bool]]] = {}
    for event in events:
        if stage := event.stage:
            tag = event.tag
            entry = Assignment(stage, tag.commit, by_commit.get(tag.commit), tag.name, tag.when, tag.by, tag.message)
            history.setdefault(stage, []).extend([] if event.undone else [entry])
            changes.setdefault(stage, []).extend([] if tag.commit in gone or retired else [(tag.commit, event.undone)])
            last.setdefault(stage, {})[tag.commit] = event.undone
    return Registry(
        artifact,
        [version for version in ordered if version.commit not in gone],
        [version for version in ordered if version.commit in gone],
        history,
        {stage: gto_tags.timeline(parts) for stage, parts in changes.items()},
        {stage: {commit for commit, undone in commits.items() if undone} for stage, commits in last.items()},
    )


def _contradiction(first: Version, second: Version) -> RegistryError:
    return RegistryError(
        f"tags {first.tag} (commit {first.commit[:7]}, {first.by}) and {second.tag} (commit {second.commit[:7]}, "
        f"{second.by}) contradict each other: a version is one commit, a commit one version; tags never move: compare "
        f"with those of the others by `git ls-remote --tags origin`, restore the right ones with `git fetch --tags "
        f"--force`"
    )


def current(repo: str | Path, artifact: str, stage: str) -> Version | None:
    """The version that the tags of a repository assign to a stage; None where it is empty.

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
