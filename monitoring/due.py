"""Is a retraining due? A decision about alerts, as a function of what is known; monitoring/retrain.py acts on it.

- That accuracy has fallen, or errors have become frequent, is due as soon as its alert fires.
- That the inputs have changed is not, for the model may well be right about them. It is once labels show harm: of the
  predictions that the version made since the alert, more are wrong than `accuracy.at_least` explains.
- The same alert asks once. What else fires for that version by then is answered by the same retraining, and what
  begins soon after it waits for `pause_hours`: the next model has to be given time to come.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from delivery.schema import SECOND
from monitoring.alerts import Alert
from monitoring.result import Detector, Result
from monitoring.settings import RetrainingParams

_BY_LABELS = {Detector.CONCEPT_DRIFT, Detector.ACCURACY}


class Key(NamedTuple):
    """Tells an alert from all others, also from one of the same number after monitoring's state was removed."""

    number: int
    since: int
    detector: str
    version: str

    @classmethod
    def of(cls, alert: Alert) -> "Key":
        """The key of an alert."""
        return cls(alert.number, alert.since, alert.detector.value, alert.version)


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether a retraining is due, by which alerts, and what was found about each that is not answered yet."""

    alerts: tuple[Alert, ...] = ()  # that ask for it; none if it is not due
    found: tuple[str, ...] = ()  # one line an alert
    waits: str = ""  # why it does not begin although it is due

    @property
    def due(self) -> bool:
        """Whether to begin now."""
        return bool(self.alerts) and not self.waits

    @property
    def reason(self) -> str:
        """The alert that asked first, in a line."""
        return str(self.alerts[0]) if self.alerts else ""


# Labelled predictions that the alert's version made since the alert, judged; None where there is none.
Harm = Callable[[Alert], Result | None]


def due(
    alerts: Iterable[Alert],
    harm: Harm,
    params: RetrainingParams,
    *,
    answered: Collection[Key],
    last: int | None,
    now: int,
) -> Decision:
    """Decide.

    Args:
        alerts: all of them; those that are over count for nothing.
        harm: judges the labels that came since an alert; asked only about alerts of input drift.
        params: section `monitoring.retraining`.
        answered: alerts for which a retraining was started.
        last: when the last one was started; microseconds since 1970, UTC.
        now: the same clock.
    """
    asking, found = list[Alert](), list[str]()
    for alert in alerts:
        if not alert.firing or Key.of(alert) in answered:
            continue
        if alert.detector in _BY_LABELS:
            asking.append(alert)
            found.append(f"{alert}: labels show harm")
        else:
            shown, words = _harmful(harm(alert), params)
            asking += [alert] if shown else []
            found.append(f"{alert}: {words}")
    # What labels say comes first: it is the better reason.
    asking.sort(key=lambda alert: (alert.detector not in _BY_LABELS, alert.number))
    until = None if last is None else last + round(params.pause_hours * 3600 * SECOND)
    waits = ""
    if asking and last is not None and until is not None and last <= now < until:
        hours = (until - now) / (3600 * SECOND)
        waits = f"a retraining was started less than {params.pause_hours:g} hours ago; {hours:.1f} are left"
    return Decision(tuple(asking), tuple(found), waits)


def _harmful(result: Result | None, params: RetrainingParams) -> tuple[bool, str]:
    """Whether a labelled sample shows that a drift does harm, and how to say so."""
    count = result.n if result else 0
    if result is None or result.p_value is None or count < params.labels:
        return False, f"input drift alone; {count} labels since then, at least {params.labels} are needed to show harm"
    words = f"{count} labels since then, accuracy {100 * result.effect:.1f} %, p = {result.p_value:.2g}"
    if result.p_value > params.harm:
        return False, f"input drift that does no harm that could be shown: {words}"
    return True, f"input drift that does harm: {words}"
