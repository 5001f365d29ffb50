"""Which retrainings were started, for which alerts, and what came of them: one JSON file that is whole or not there."""

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Literal

import pydantic

from delivery.schema import SECOND
from digits.errors import PipelineError
from digits.storage import write_text
from monitoring import kept
from monitoring.alerts import Alert
from monitoring.due import Key

KEPT = 200  # more than alerts that a state keeps can have asked for
OPEN = ("", "pending")
FAILED = ("error", LOST := "lost")  # nobody has answered: neither proposed nor refused


class DispatchesError(PipelineError):
    """The file that should hold them does not, or another process is at it."""


@dataclasses.dataclass(frozen=True)
class Dispatch:
    """One retraining that was started."""

    alerts: tuple[Key, ...]  # that it answers; none if somebody asked for it
    reason: str
    time: int  # microseconds since 1970, UTC
    branch: str  # with the data
    commit: str  # of that branch: what came of it is told there
    sent: bool = False  # whether the workflow was started; until then, the branch is used again
    outcome: str = ""  # pending, success, failure or error, as the workflow says; or lost
    text: str = ""  # the same in words

    @property
    def over(self) -> bool:
        """Whether it is known what came of it."""
        return self.outcome not in OPEN

    @property
    def failed(self) -> bool:
        """Whether nobody has answered yet: a run that failed can be run again, and one that was lost be late."""
        return self.outcome in FAILED

    @property
    def counts(self) -> bool:
        """Whether it was started, and has come to an end or still may."""
        return self.sent and not self.failed

    def at(self, now: int, lost_hours: float) -> "Dispatch":
        """The same at a later time: lost, if nothing was heard of it for so long."""
        if not self.sent or self.over or now - self.time < lost_hours * 3600 * SECOND:
            return self
        return dataclasses.replace(self, outcome=LOST, text=f"no word of it for {lost_hours:g} hours")

    def __str__(self) -> str:
        if not self.sent:
            return f"{self.branch} was pushed, but the retraining could not be started"
        words = {"": "started", "pending": "under way", "success": "proposed", "failure": "not proposed"}
        return f"retraining with {self.branch}: {words.get(self.outcome, 'failed')}{self.text and f', {self.text}'}"


@dataclasses.dataclass(frozen=True)
class Dispatches:
    """All of them, oldest first."""

    form: Literal[1] = 1  # raised when a field changes, or one comes that has no default
    dispatches: tuple[Dispatch, ...] = ()
    looked: int | None = None  # when somebody who looks again and again did so last; microseconds since 1970, UTC
    every: float | None = None  # seconds, from one of his looks to the next; None where nobody does
    error: str = ""  # of the last of these looks

    @property
    def answered(self) -> set[Key]:
        """Alerts for which one was started that did not fail: of a run that died nothing came, so they ask again."""
        return {key for dispatch in self.dispatches if dispatch.counts for key in dispatch.alerts}

    @property
    def last(self) -> int | None:
        """When the newest was started, whatever came of it."""
        return max((dispatch.time for dispatch in self.dispatches if dispatch.sent), default=None)

    @property
    def last_counting(self) -> int | None:
        """When the newest was started that did not fail."""
        return max((dispatch.time for dispatch in self.dispatches if dispatch.counts), default=None)

    def waiting(self, keys: Collection[Key]) -> Dispatch | None:
        """One whose branch was pushed, and nothing done with it: it could not be started, or was lost.

        A lost one waits for its own alerts alone: what has begun since then has brought labels that it does not hold.
        """
        newest = self.dispatches[-1] if self.dispatches else None
        if newest is None or (newest.sent and newest.outcome != LOST):
            return None
        return newest if not newest.sent or (keys and set(keys) <= set(newest.alerts)) else None

    def of(self, key: Key) -> Dispatch | None:
        """The newest that answers an alert."""
        return next((one for one in reversed(self.dispatches) if key in one.alerts), None)

    def with_(self, dispatch: Dispatch) -> "Dispatches":
        """With one more, or another in the place of that of the same branch."""
        others = [one for one in self.dispatches if one.branch != dispatch.branch]
        every = sorted([*others, dispatch], key=lambda one: one.time)
        return dataclasses.replace(self, dispatches=tuple(every[-KEPT:]))


def notes(stage: str) -> Callable[[Alert], str]:
    """What came of the retraining that an alert of the stage has started, to be said with it; empty without any."""
    try:
        known, failure = read(path(stage)), ""
    except DispatchesError as error:
        known, failure = Dispatches(), str(error)
    return lambda alert: failure or str(known.of(Key.of(alert)) or "")


_FILE = pydantic.TypeAdapter(Dispatches)


def path(stage: str) -> Path:
    """Where they are kept, for a stage."""
    return Path("logs") / f"{stage}-retraining.json"


def write(path: Path, dispatches: Dispatches) -> None:
    """Replace the file."""
    write_text(path, _FILE.dump_json(dispatches, indent=2).decode())


def read(path: Path) -> Dispatches:
    """What `write` wrote; none where there is no file.

    Raises:
        DispatchesError: there is something else.
    """
    return kept.read(
        path,
        _FILE,
        Dispatches(),
        lambda found: DispatchesError(
            f"{path}: not the list of retrainings ({found}); remove it: alerts that still fire then start one more"
        ),
    )


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other processes from starting a retraining for the same alert.

    Raises:
        DispatchesError: one is at it.
    """
    lock = path.with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as stream:
        if not kept.try_lock(stream):
            raise DispatchesError(f"{lock}: another process decides about retraining at this moment; leave it to that")
        yield
