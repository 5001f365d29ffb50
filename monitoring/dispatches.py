"""Which retrainings were started, for which alerts, and what came of them: one JSON file that is whole or not there."""

import contextlib
import dataclasses
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pydantic

from digits.errors import PipelineError
from digits.storage import write_text
from monitoring.alerts import Alert
from monitoring.due import Key

KEPT = 200  # more than alerts that a state keeps can have asked for
OPEN = ("", "pending")


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
    outcome: str = ""  # pending, success, failure or error
    text: str = ""  # the same in words

    @property
    def over(self) -> bool:
        """Whether it is known what came of it."""
        return self.outcome not in OPEN

    def __str__(self) -> str:
        if not self.sent:
            return f"{self.branch} was pushed, but the retraining could not be started"
        words = {"": "started", "pending": "under way", "success": "proposed", "failure": "not proposed"}
        return f"retraining with {self.branch}: {words.get(self.outcome, 'failed')}{self.text and f', {self.text}'}"


@dataclasses.dataclass(frozen=True)
class Dispatches:
    """All of them, oldest first."""

    form: Literal[1] = 1  # raised when the fields change
    dispatches: tuple[Dispatch, ...] = ()

    @property
    def answered(self) -> set[Key]:
        """Alerts for which one was started."""
        return {key for dispatch in self.dispatches if dispatch.sent for key in dispatch.alerts}

    @property
    def last(self) -> int | None:
        """When the newest was started."""
        return max((dispatch.time for dispatch in self.dispatches if dispatch.sent), default=None)

    @property
    def waiting(self) -> Dispatch | None:
        """One whose branch was pushed, and that could not be started."""
        newest = self.dispatches[-1] if self.dispatches else None
        return newest if newest and not newest.sent else None

    def of(self, key: Key) -> Dispatch | None:
        """The newest that answers an alert."""
        return next((one for one in reversed(self.dispatches) if key in one.alerts), None)

    def with_(self, dispatch: Dispatch) -> "Dispatches":
        """With one more, or another in the place of that of the same branch."""
        others = [one for one in self.dispatches if one.branch != dispatch.branch]
        every = sorted([*others, dispatch], key=lambda one: one.time)
        return Dispatches(dispatches=tuple(every[-KEPT:]))


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
    try:
        return _FILE.validate_json(path.read_bytes())
    except FileNotFoundError:
        return Dispatches()
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DispatchesError(
            f"{path}: not the list of retrainings ({where}: {first['msg']}); remove it: alerts that still fire then "
            f"start one more"
        ) from None


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other processes from starting a retraining for the same alert.

    Raises:
        DispatchesError: one is at it.
    """
    lock = path.with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DispatchesError(
                f"{lock}: another process decides about retraining at this moment; leave it to that"
            ) from None
        yield
