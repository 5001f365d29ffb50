"""One reconciliation: what the tags assign to a stage is fetched, tested, put in place, and its service told.

Each step leaves the old version answering until the next one has worked; a run that is killed between two of them is
made up for by the next run.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from delivery import client, registry
from delivery.deployments import Deployed, Deployments
from delivery.registry import Version
from digits.errors import PipelineError

CHILD_SECONDS = 600.0  # after which a fetch or a smoke test is given up


class DeployError(PipelineError):
    """The stage does not have what it should; what it had before goes on."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A stage: where it gets versions from, where they go, and who serves them."""

    stage: str
    artifact: str
    repo: str
    deployments: Deployments
    url: str  # of the service; empty: there is none to tell
    token: str | None
    accuracy: float  # share of the smoke set
    keep: int  # versions on disk


def reconcile(target: Target) -> str:
    """Give the stage what the tags assign to it, and write status.json; says in one line what was done.

    Raises:
        PipelineError, OSError: the stage goes on with what it had.
    """
    with target.deployments.locked() as lock:
        attempt = _Attempt(target, lock)
        try:
            said = attempt.carry_out()
        except BaseException as error:
            # On a disk that is full there may be no room for the reason, either.
            with contextlib.suppress(OSError):
                attempt.report(str(error) or type(error).__name__)
            raise
        attempt.report(None)
        return said


class _Attempt:
    """One reconciliation, under the stage's lock."""

    def __init__(self, target: Target, lock: int) -> None:
        self._target, self._lock, self._place = target, lock, target.deployments
        self._last = self._place.status()
        self._desired: Version | None = None
        self._served: str | None = None
        self._moved = False
        self._seconds: dict[str, float] = {}

    def carry_out(self) -> str:
        """All steps; says what was done."""
        place, stage = self._place, self._target.stage
        self._recover()
        with self._timed("git"):
            desired = self._desired = registry.current(self._target.repo, self._target.artifact, stage)
        if desired is None:
            raise DeployError(f"no version is assigned to {stage}; `make promote STAGE={stage}` assigns one")
        before = place.current()
        self._moved = before is None or before.version != desired.name or not place.whole(desired.name, desired.commit)
        if self._moved:
            self._bring(desired)
            with self._timed("switch"):
                place.switch(desired.name)
        try:
            tells = self._serve(desired)
        except BaseException:
            if before is None or before.version != desired.name:
                self._put_back(before)
            raise
        place.prune(self._target.keep)
        took = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self._seconds.items())
        done = f"now in place ({took})" if self._moved else "in place, as assigned"
        return f"{stage}: {desired.name} (commit {desired.commit[:7]}) is {done}; {tells}"

    def _recover(self) -> None:
        """Undo what a run left that ended after it had switched and before it knew how that had come out."""
        if not self._last:
            self.report(None)  # or the very first switch would have no record of what was before
            self._last = self._place.status()
        recorded, current = self._last.get("current"), self._place.current()
        if current and current.version != recorded:
            self._place.switch(recorded if recorded and self._place.find(recorded) else None)

    def _bring(self, desired: Version) -> None:
        """Have the version on disk, whole and tested."""
        name, place = desired.name, self._place
        if place.whole(name, desired.commit):
            self._smoke(place.path(name))
            return
        with place.arriving(name) as part:
            started = time.perf_counter()
            repo = ("--repo", self._target.repo)
            fetched = json.loads(self._child("delivery.artifact", desired.tag, *repo, "--to", str(part)))
            by_git = fetched["seconds"]["git"]
            self._seconds["git"] += by_git
            self._seconds["dvc"] = time.perf_counter() - started - by_git
            if fetched["commit"] != desired.commit:
                raise DeployError(f"tag {desired.tag} has just moved to another commit; tags of versions never move")
            self._smoke(part)
            place.state(part, Deployed(name, desired.commit, fetched["files"]))

    def _smoke(self, folder: Path) -> None:
        with self._timed("smoke"):
            self._child("delivery.smoke", str(folder), "--accuracy", str(self._target.accuracy))

    def _child(self, module: str, *arguments: str) -> str:
        """Output of a module, run in a process of its own: whatever becomes of that, this one goes on."""
        command = [sys.executable, "-m", module, *arguments]
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, pass_fds=(self._lock,), timeout=CHILD_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise DeployError(f"`python -m {module}` was ended after {CHILD_SECONDS:g} s; it is tried again") from None
        if answer.returncode:
            said = answer.stderr.strip().removeprefix("error: ") or f"ended with exit code {answer.returncode}"
            raise DeployError(said if answer.returncode == 1 else f"`python -m {module}`: {said}")
        return answer.stdout

    def _serve(self, desired: Version) -> str:
        """Have the service answer with the version; says who serves it."""
        url = self._target.url
        if not url:
            return "there is no service to tell"
        answer = client.ready(url)
        if answer is None:
            return f"nothing listens at {url}: what starts there will serve it"
        if answer.get("stage", self._target.stage) != self._target.stage:
            raise DeployError(
                f"{url} is the service of stage {answer['stage']}, not of {self._target.stage}: see --url"
            )
        if not answers(answer, desired.name, desired.commit):
            with self._timed("warming"):
                client.reload(url, self._target.token)
                answer = client.ready(url) or {}
        if not answers(answer, desired.name, desired.commit):
            raise DeployError(f"{url} was told to load {desired.name}, and answers with {answer.get('version')}")
        self._served = desired.name
        return f"{url} serves it"

    def _put_back(self, before: Deployed | None) -> None:
        self._place.switch(before.version if before else None)
        try:
            answer = client.ready(self._target.url)
            if before and answer and not answers(answer, before.version, before.commit):
                client.reload(self._target.url, self._target.token)
        except client.ServiceError as error:
            print(f"error: while {before.version if before else 'nothing'} was put back: {error}", file=sys.stderr)

    def report(self, error: str | None) -> None:
        """Write status.json; its seconds are those of the last attempt that changed something or failed."""
        now, current = datetime.now(UTC).isoformat(timespec="milliseconds"), self._place.current()
        name = current.version if current else None
        seconds = self._seconds if error or self._moved else self._last.get("seconds", {})
        status = {
            "stage": self._target.stage,
            "desired": self._desired.name if self._desired else None,
            "current": name,
            "since": self._last.get("since", now) if name == self._last.get("current") else now,
            "served": self._served,
            "error": error,
            "at": now,
            "seconds": {step: round(seconds, 3) for step, seconds in seconds.items()},
        }
        self._place.report(status)

    @contextlib.contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[step] = self._seconds.get(step, 0.0) + time.perf_counter() - started


def answers(answer: dict[str, Any], version: str, commit: str) -> bool:
    """Whether a service that answers `/readyz` so serves this version."""
    return answer.get("ready") is True and (answer.get("version"), answer.get("commit")) == (version, commit)
