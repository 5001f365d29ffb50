"""Where the deployed versions of one stage lie, and how one takes the place of another: whole, or not at all.

    deployments/<stage>/
      versions/v0.1.0/          model.onnx reference.npz smoke.npz metrics.json version.json
      current -> versions/v0.1.0
      status.json               of the last reconciliation
      lock                      held by the reconciler that is at work

A process that is killed anywhere in here leaves the old version in place or the new one, and at most a hidden
remainder, which the next one removes.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from digits.errors import PipelineError
from digits.storage import FileError, read_json, write_json

LOCK_SECONDS = 120.0
_STATEMENT = "version.json"


class DeploymentError(PipelineError):
    """A version can't be put in place. What was there before still is."""


@dataclasses.dataclass(frozen=True)
class Deployed:
    """A version on disk, as its version.json states it."""

    version: str
    commit: str
    files: dict[str, str]  # MD5 sums by name


class Deployments:
    """The folder of one stage. Whatever changes it needs `locked`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions, self._current = folder / "versions", folder / "current"

    @contextlib.contextmanager
    def locked(self, seconds: float = LOCK_SECONDS) -> Iterator[int]:
        """Be the only reconciler of this stage; the lock's file descriptor, for processes that work for this one.

        The lock is a process's and those that it hands the descriptor to: it is free as soon as all of them have ended,
        however they ended.

        Raises:
            DeploymentError: another one is at work for longer than `seconds`.
        """
        self._versions.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + seconds
        with (self.folder / "lock").open("ab") as stream:
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise DeploymentError(
                            f"{self.folder}: another reconciler has been at work for {seconds:g} s; wait for it, "
                            f"or end it"
                        ) from None
                    time.sleep(0.1)
            for left in (*self._versions.glob(".*"), *self.folder.glob(".*")):
                _remove(left)
            yield stream.fileno()

    def current(self) -> Deployed | None:
        """The version that is in place; None if there is none."""
        return self._read(self._current)

    def find(self, version: str) -> Deployed | None:
        """A version that is on disk, whether in place or not."""
        return self._read(self._versions / version)

    def path(self, version: str) -> Path:
        """Where a version's files lie."""
        return self._versions / version

    def whole(self, version: str, commit: str) -> bool:
        """Whether this version of this commit is on disk, with every file as it was when it arrived."""
        found = self.find(version)
        if found is None or (found.version, found.commit) != (version, commit):
            return False
        try:
            return all(_md5(self.path(version) / name) == md5 for name, md5 in found.files.items())
        except OSError:
            return False

    @contextlib.contextmanager
    def arriving(self, version: str) -> Iterator[Path]:
        """A folder that becomes the version's when it has been filled and a statement written, without an error."""
        part = self._versions / f".{version}.part"
        _remove(part)
        part.mkdir(parents=True)
        try:
            yield part
            _sync(part)
            # One of this name is damaged, or of another commit; who serves it has read it long ago.
            self._take_away(self.path(version))
            part.rename(self.path(version))
            _sync(self._versions)
        finally:
            _remove(part)

    def state(self, part: Path, deployed: Deployed) -> None:
        """Write the statement of an arriving version, the last of its files."""
        write_json(part / _STATEMENT, dataclasses.asdict(deployed))

    def switch(self, version: str | None) -> None:
        """Put a version that is on disk in place, in one step; with None, nothing is in place any more."""
        if version is None:
            self._current.unlink(missing_ok=True)
        else:
            link = self.folder / ".current.part"
            link.unlink(missing_ok=True)
            link.symlink_to(self.path(version).relative_to(self.folder))
            link.replace(self._current)
            os.utime(self.path(version))  # when it was last put in place
        _sync(self.folder)

    def prune(self, keep: int) -> None:
        """Remove all versions but the one in place and those that were so last, `keep` in all."""
        current = self.current()
        name = current.version if current else ""
        paths = sorted(self._versions.iterdir(), key=lambda path: (path.name == name, path.stat().st_mtime_ns))
        for path in paths[:-keep]:
            self._take_away(path)

    def _take_away(self, path: Path) -> None:
        """Remove a version in one step: half of one would pass for the last that was in place."""
        if path.exists():
            gone = path.with_name(f".{path.name}.gone")
            path.rename(gone)
            _remove(gone)

    def status(self) -> dict[str, Any]:
        """What the last reconciliation left in status.json; empty before the first."""
        try:
            status = read_json(self.folder / "status.json")
        except (FileError, OSError):
            return {}
        return status if isinstance(status, dict) else {}

    def report(self, status: dict[str, Any]) -> None:
        """Write status.json."""
        write_json(self.folder / "status.json", status)

    def _read(self, folder: Path) -> Deployed | None:
        try:
            stated = read_json(folder / _STATEMENT)
            return Deployed(stated["version"], stated["commit"], dict(stated["files"]))
        except (OSError, FileError, KeyError, TypeError, ValueError):
            return None


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk before what comes next."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
