"""Is a retraining due? A decision about alerts, as a function of what is known; monitoring/retrain.py acts on it.

- That accuracy has fallen, or errors have become frequent, is due as soon as its alert fires.
- That the inputs have changed is not, for the model may well be right about them. It is once labels show harm: of the
  predictions that the version made since the alert, more are wrong than `accuracy.at_least` explains.
- The same alert asks once, and again only if that retraining failed. What else fires for that version by then is
  answered by the same retraining, and what begins soon after it waits for `pause_hours`: the next model has to be given
  time to come.
- Without any alert one is due `every_days`, if labels came that none was trained on.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import numpy as np

from delivery.schema import SECOND
from monitoring.alerts import Alert
from monitoring.result import Detector
from monitoring.settings import MonitoringParams

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

    alerts: tuple[Alert, ...] = ()  # that ask for it
    scheduled: str = ""  # why it is due without an alert
    found: tuple[str, ...] = ()  # one line an alert
    waits: str = ""  # why it does not begin although it is due

    @property
    def due(self) -> bool:
        """Whether to begin now."""
        return bool(self.reason) and not self.waits

    @property
    def reason(self) -> str:
        """The alert that asked first, in a line, or else the schedule; empty if nothing asks."""
        return str(self.alerts[0]) if self.alerts else self.scheduled


# Which labelled predictions that the alert's version made since the alert are wrong, bool (N,), as their labels came.
Wrong = Callable[[Alert], np.ndarray]


def due(
    alerts: Iterable[Alert],
    wrong: Wrong,
    params: MonitoringParams,
    *,
    answered: Collection[Key],
    last: int | None,
    now: int,
    unused: int | None = None,
) -> Decision:
    """Decide.

    Args:
        alerts: all of them; those that are over count for nothing.
        wrong: what labels say that came since an alert; asked only about alerts of input drift.
        params: section `monitoring`.
        answered: alerts for which a retraining was started.
        last: when the last one was started; microseconds since 1970, UTC.
        now: the same clock.
        unused: since when labels wait that none was trained on; None without any.
    """
    asking, found = list[Alert](), list[str]()
    for alert in alerts:
        if not alert.firing or Key.of(alert) in answered:
            continue
        if alert.detector in _BY_LABELS:
            asking.append(alert)
            found.append(f"{alert}: labels show harm")
        else:
            shown, words = harmful(wrong(alert), params)
            asking += [alert] if shown else []
            found.append(f"{alert}: {words}")
    # What labels say comes first: it is the better reason.
    asking.sort(key=lambda alert: (alert.detector not in _BY_LABELS, alert.number))
    pause, days = params.retraining.pause_hours, params.retraining.every_days
    scheduled = ""
    if days is not None and unused is not None and now - unused >= days * 24 * 3600 * SECOND:
        scheduled = f"labels wait, and for {days:g} days nothing was trained on them"
    until = None if last is None else last + round(pause * 3600 * SECOND)
    waits = ""
    if (asking or scheduled) and last is not None and until is not None and last <= now < until:
        hours = (until - now) / (3600 * SECOND)
        waits = f"a retraining was started less than {pause:g} hours ago; {hours:.1f} are left"
    return Decision(tuple(asking), scheduled, tuple(found), waits)


def harmful(wrong: np.ndarray, params: MonitoringParams) -> tuple[bool, str]:
    """Whether a labelled sample shows that a drift does harm, and how to say so.

    Whoever looks again and again at a growing sample finds harm by chance sooner or later. So it is asked only of the
    first `labels`, twice as many, four times as many and so on, at half of `harm`, a quarter, an eighth: all of it
    together is less than `harm`, however often somebody looks.
    """
    from monitoring.performance import chance  # noqa: PLC0415, the dashboard asks for keys alone, and has no SciPy

    size, level = params.retraining.labels, params.retraining.harm
    if len(wrong) < size:
        return False, f"input drift alone; {len(wrong)} labels since then, at least {size} are needed to show harm"
    words = ""
    while size <= len(wrong):
        errors, level = int(wrong[:size].sum()), level / 2
        p_value = chance(errors, size, 1 - params.accuracy.at_least)
        words = f"of the first {size:,} of {len(wrong):,} labels since then {100 * (1 - errors / size):.1f} % right"
        words += f", p = {p_value:.2g}, where {level:.2g} shows harm"
        if p_value <= level:
            return True, f"input drift that does harm: {words}"
        size *= 2
    return False, f"input drift that does no harm that could be shown: {words}"
