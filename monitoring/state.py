"""What monitoring remembers from one look at the log to the next, in one JSON file that is whole or not there."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pydantic

from digits.dataset import CLASSES
from digits.errors import PipelineError
from digits.storage import write_text
from monitoring import kept
from monitoring.alerts import Alerts, Level, Track
from monitoring.concept_drift import Cusum
from monitoring.result import Detector, Result
from monitoring.spans import period, thinned
from monitoring.windows import End


class StateError(PipelineError):
    """The file that should hold monitoring's state does not."""


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labelled predictions since the accuracy was last tested, in the order in which their labels came."""

    truths: tuple[int, ...] = ()
    wrong: tuple[bool, ...] = ()
    images: tuple[str, ...] = ()  # ids of the wrong ones, newest first


@dataclasses.dataclass(frozen=True)
class Stream:
    """What is known of one version's traffic."""

    cusum: Cusum
    newest: int = 0  # time of its newest prediction that was read
    newest_label: int = 0  # when the newest of its labels that was read came
    consumed: str = ""  # id of the last prediction that was in a window that is over
    tracks: dict[Detector, Track] = dataclasses.field(default_factory=dict)
    predicted: tuple[int, ...] = (0,) * CLASSES  # since the label shift was last tested
    examples: tuple[tuple[str, ...], ...] = ((),) * CLASSES  # ids of the newest of each class among them, newest first
    labels: Labels = Labels()
    labels_since_gap: int = 0
    labelled: int = 0  # in all
    wrong: int = 0  # of these
    windows: int = 0  # that are over, in all
    judged: int = 0  # of these; there was enough in them, and a reference
    newest_results: dict[Detector, Result] = dataclasses.field(default_factory=dict)  # in brief
    trouble: str = ""  # with its reference, at the newest window

    @property
    def counted(self) -> dict[Detector, int]:
        """Predictions and labels that wait until there are enough for a test."""
        return {Detector.LABEL_SHIFT: sum(self.predicted), Detector.ACCURACY: len(self.labels.truths)}


@dataclasses.dataclass(frozen=True)
class Judged:
    """One window and what was found in it; without results where there was too little data, or no reference."""

    version: str
    since: int  # first and last prediction; microseconds since 1970, UTC
    until: int
    n: int
    end: End
    levels: dict[Detector, Level]
    results: tuple[Result, ...] = ()
    note: str = ""

    @property
    def data_drift(self) -> Result | None:
        """What was found of the window alone; None where it could not be judged."""
        return next((result for result in self.results if result.detector is Detector.DATA_DRIFT), None)


@dataclasses.dataclass(frozen=True)
class Tested:
    """What labels said at one time, of which a window of predictions knows nothing."""

    version: str
    time: int  # of the newest label in it; microseconds since 1970, UTC
    result: Result


@dataclasses.dataclass(frozen=True)
class State:
    """All of it."""

    form: Literal[1] = 1  # raised when a file with other fields would be misunderstood
    since: int | None = None  # where the next look at the predictions begins; None is the beginning of the log
    until: int | None = None  # where the last one ended
    looked: int | None = None  # when the last look was over, whether it succeeded or not
    error: str = ""  # why it did not
    before: int = 0  # predictions in the hour before `since`, when they were last counted
    late: int = 0  # that were dated into time already read, for a clock was set back: they were not judged
    labels_before: int | None = None  # labels in the hour before `until`, likewise; None is unknown
    late_labels: int = 0  # that were dated into time already read: they were not counted
    streams: dict[str, Stream] = dataclasses.field(default_factory=dict)
    alerts: Alerts = dataclasses.field(default_factory=Alerts)
    windows: tuple[Judged, ...] = ()  # the newest, oldest first
    tests: tuple[Tested, ...] = ()  # of labels; the telling ones, oldest first

    def retired(self, version: str, gap: int) -> bool:
        """Whether a version has answered nothing for more than `gap` microseconds, while another has."""
        newest = max((stream.newest for stream in self.streams.values()), default=0)
        return newest - self.streams[version].newest > gap

    def trouble(self, gap: int) -> str:
        """What keeps versions from being judged, although there is a reference; empty if nothing does."""
        streams = (stream for version, stream in self.streams.items() if not self.retired(version, gap))
        return "; ".join(dict.fromkeys(stream.trouble for stream in streams if stream.trouble))

    def levels(self, version: str, now: int, gap: int) -> dict[Detector, Level]:
        """What is known of a version at a moment: nothing by results that are older than `gap`, or of the future."""
        stream = self.streams.get(version)
        tracks = stream.tracks if stream else {}
        known = {detector: tracks.get(detector, Track()) for detector in Detector}
        return {
            detector: track.level if 0 <= now - track.time <= gap else Level.TOO_LITTLE_DATA
            for detector, track in known.items()
        }


def telling(tests: Sequence[Tested], now: int) -> tuple[Tested, ...]:
    """What is kept of labels' results: by version and detector the most suspicious one of each period, and the newest.

    Args:
        tests: oldest first.
        now: microseconds since 1970, UTC.
    """

    def time(test: Tested) -> int:
        return test.time

    def kind(test: Tested) -> tuple[str, Detector]:
        return test.version, test.result.detector

    def suspicious(test: Tested) -> float:
        return test.result.statistic if test.result.p_value is None else -test.result.p_value

    kept = thinned(tests, now, time, kind, lambda older, newer: max(newer, older, key=suspicious))
    newest = {kind(test): test for test in tests if period(test.time, now)}.values()
    return tuple(sorted((*kept, *(test for test in newest if test not in kept)), key=time))


_STATE = pydantic.TypeAdapter(State)


def path(stage: str) -> Path:
    """Where the state of a stage's monitoring is kept."""
    return Path("logs") / f"{stage}-monitoring.json"


def write(path: Path, state: State) -> None:
    """Replace the file."""
    write_text(path, _STATE.dump_json(state).decode())


def read(path: Path) -> State:
    """What `write` wrote, or the state of a beginning where there is no file.

    Raises:
        StateError: there is something else.
    """
    return kept.read(
        path,
        _STATE,
        State(),
        lambda found: StateError(
            f"{path}: not monitoring's state ({found}); remove it, to begin anew at the start of the log; what is "
            f"wrong then is told again"
        ),
    )
