"""Pictures of the images that alerts and windows name, from the prediction log: what a person should look at first."""

import base64
import dataclasses
from collections.abc import Sequence

from delivery.history import UNKNOWN, History
from monitoring.result import Detector, Result
from monitoring.state import State

_ALERTS, _WINDOWS = 4, 4  # groups of images, at most


@dataclasses.dataclass(frozen=True)
class Picture:
    """One prediction and its image."""

    id: str
    time: int  # microseconds since 1970, UTC
    pixels: str  # 28 x 28 uint8, Base64
    label: int  # as predicted
    confidence: float  # the probability of that
    truth: int | None  # None while it has no true label


@dataclasses.dataclass(frozen=True)
class Group:
    """Images with one cause, most unusual first."""

    version: str
    detector: Detector
    time: int  # end of the window
    alert: int | None  # its number; None for the newest window, whether it is unusual or not
    firing: bool
    why: str  # they were chosen
    pictures: list[Picture]
    gone: int  # images that the log has no longer


def groups(history: History, state: State, versions: Sequence[str]) -> list[Group]:
    """Of the alerts that fire, newest first, or of the newest alert if none does; then of each version's newest window.

    Args:
        history: of the log that has the images.
        state: what monitoring found.
        versions: of whose windows.
    """
    firing = [alert for alert in state.alerts.alerts if alert.firing and alert.result.images]
    chosen = (firing or [alert for alert in state.alerts.alerts if alert.result.images][-1:])[: -_ALERTS - 1 : -1]
    causes = [(alert.version, alert.result, alert.since, alert.number, alert.firing) for alert in chosen]
    seen: dict[str, tuple[str, Result, int, int | None, bool]] = {}
    for window in state.windows:
        if window.version in versions and (found_in := window.data_drift) and found_in.images:
            seen[window.version] = (window.version, found_in, window.until, None, False)
    newest = sorted(seen.values(), key=lambda cause: -cause[2])[:_WINDOWS]
    every = [*causes, *newest]
    known = _pictures(history, {key for _, result, *_ in every for key in result.images})
    found = []
    for version, result, time, number, firing_now in every:
        pictures = [known[key] for key in result.images if key in known]
        gone = len(result.images) - len(pictures)
        why = _why(result, pictures)
        found.append(Group(version, result.detector, time, number, firing_now, why, pictures, gone))
    return found


def _pictures(history: History, ids: set[str]) -> dict[str, Picture]:
    if not ids:
        return {}
    rows = history.named(sorted(ids))
    return {
        key: Picture(
            id=key,
            time=int(rows.times[place]),
            pixels=base64.b64encode(rows.pixels[place].tobytes()).decode(),
            label=int(rows.labels[place]),
            confidence=float(rows.probabilities[place].max()),
            truth=None if rows.truths[place] == UNKNOWN else int(rows.truths[place]),
        )
        for place, key in enumerate(rows.ids)
    }


def _why(result: Result, pictures: Sequence[Picture]) -> str:
    """What the images have in common."""
    if result.detector in (Detector.CONCEPT_DRIFT, Detector.ACCURACY):
        return "newest errors by their true labels"
    feature = result.features[0] if result.features else None
    if result.detector is Detector.LABEL_SHIFT:  # of the class that grew most; the first feature may have shrunk
        grown = f" of class {pictures[0].label}, more frequent than usual" if pictures else ""
        rarer = f"; {feature.name} is rarer than usual" if feature and feature.statistic < 0 else ""
        return f"newest predictions{grown}{rarer}"
    if feature is None or result.test == "tail count":
        return "farthest from the reference's images, by their statistics"
    return f"{'highest' if feature.statistic > 0 else 'lowest'} {feature.name}"
