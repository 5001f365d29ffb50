"""From results to alerts. Each says once that something is wrong, lasts as long as it is, and says when it is over."""

import dataclasses
from enum import StrEnum

from monitoring.result import Detector, Result
from monitoring.settings import MonitoringParams


class Level(StrEnum):
    """What a detector's newest result means."""

    TOO_LITTLE_DATA = "too little data"  # neither good nor bad: nobody knows
    OK = "ok"
    WARN = "warn"
    ALERT = "alert"


@dataclasses.dataclass(frozen=True)
class Track:
    """What has to be remembered of one detector's results for one version."""

    level: Level = Level.TOO_LITTLE_DATA
    suspicious: int = 0  # results in a row at or below `warn`
    calm: int = 0  # above it, since the last such one
    time: int = 0  # of the newest result: end of its window, microseconds since 1970, UTC

    def after(self, result: Result, time: int, params: MonitoringParams) -> "Track":
        """With one result more."""
        if result.p_value is None:  # the CUSUM keeps its own memory, and is calm when it has none left
            alarmed, suspicious = result.statistic >= params.cusum.threshold, result.statistic > 0
            in_a_row, calm = 0, 0 if suspicious else params.calm_windows
            enough = result.n >= params.smallest_window
            level = Level.ALERT if alarmed else Level.OK if enough else Level.TOO_LITTLE_DATA
        else:
            suspicious = result.p_value <= params.warn
            in_a_row, calm = (self.suspicious + 1, 0) if suspicious else (0, self.calm + 1)
            sure = result.p_value <= params.alert or in_a_row >= params.windows_in_a_row
            level = Level.ALERT if sure else Level.WARN if suspicious else Level.OK
        return Track(level, in_a_row, calm, time)

    def interrupted(self, judged: bool) -> "Track":
        """After a gap, or a window that could not be judged: what comes next is not in a row with what was before.

        Calm results count over it, for between them is none that is suspicious: an alert of a service that is asked
        for an hour a day would last for ever.
        """
        return dataclasses.replace(self.at(judged), suspicious=0)

    def at(self, known: bool) -> "Track":
        """The same; without its level, if that is of too long ago."""
        return self if known else dataclasses.replace(self, level=Level.TOO_LITTLE_DATA)


@dataclasses.dataclass(frozen=True)
class Alert:
    """One thing that went wrong with one version. Firing until it is resolved."""

    number: int  # 1, 2, ...: the same alert has the same number for ever
    detector: Detector
    version: str
    since: int  # end of the window that raised it; microseconds since 1970, UTC
    last: int  # of the newest window that still showed it
    result: Result  # that raised it
    resolved: int | None = None
    why: str = ""  # it was resolved

    @property
    def firing(self) -> bool:
        """Whether it goes on."""
        return self.resolved is None

    def __str__(self) -> str:
        result = self.result
        p_value = "" if result.p_value is None else f", p = {result.p_value:.2g}"
        features = ", ".join(feature.name for feature in result.features[:3])
        return (
            f"alert {self.number}, {self.detector} of {self.version}: {result.test} {result.statistic:.4g}{p_value}, "
            f"n = {result.n}, {result.effect_name} {result.effect:.3g}{f' ({features})' if features else ''}"
        )


@dataclasses.dataclass(frozen=True)
class Alerts:
    """All alerts, oldest first: those that fire, and the newest of those that are over."""

    alerts: tuple[Alert, ...] = ()
    raised: int = 0  # so far

    def firing(self, version: str, detector: Detector) -> Alert | None:
        """The one that fires for a version and a detector; there is never more than one."""
        return next((a for a in self.alerts if a.firing and (a.version, a.detector) == (version, detector)), None)

    def after(
        self, track: Track, result: Result, version: str, time: int, params: MonitoringParams
    ) -> tuple["Alerts", Alert | None]:
        """With one result more, of which `track` says what it means.

        Returns:
            the alerts, and the one that was raised or resolved by it; None if nobody need be told.
        """
        current = self.firing(version, result.detector)
        if current is None:
            if track.level is not Level.ALERT:
                return self, None
            raised = Alert(self.raised + 1, result.detector, version, time, time, result)
            return self._with(raised), raised
        if track.calm >= params.calm_windows:
            resolved = dataclasses.replace(current, resolved=time, why="back to normal")
            return self._with(resolved), resolved
        return self._with(dataclasses.replace(current, last=time) if not track.calm else current), None

    def retired(self, version: str, time: int) -> tuple["Alerts", list[Alert]]:
        """Without any that fire for a version that answers no longer."""
        alerts, resolved = self, list[Alert]()
        for alert in self.alerts:
            if alert.firing and alert.version == version:
                over = dataclasses.replace(alert, resolved=time, why="the version answers no longer")
                alerts, resolved = alerts._with(over), [*resolved, over]
        return alerts, resolved

    def _with(self, alert: Alert, kept: int = 200) -> "Alerts":
        others = [other for other in self.alerts if other.number != alert.number]
        every = sorted([*others, alert], key=lambda other: other.number)
        return Alerts(
            tuple(a for place, a in enumerate(every, start=1) if a.firing or place > len(every) - kept),
            max(self.raised, alert.number),
        )
