"""A prediction log with traffic of one's choice, dated at will."""

from pathlib import Path

import numpy as np
import pytest

from delivery import log as log_module
from delivery.history import History
from delivery.log import PredictionLog, Scored
from delivery.schema import SECOND
from digits.params import load
from monitoring.monitor import Monitor
from monitoring.settings import MonitoringParams
from monitoring.state import State
from tests.monitoring.traffic import REFERENCE, clean

ROOT = Path(__file__).parents[2]
START = 1_800_000_000 * SECOND
HOUR = 3600 * SECOND


class Logged:
    """One stage's log, its clock, and whoever monitors it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.log = PredictionLog(f"sqlite:///{folder}/log.db", "staging")
        self.now = START
        self.params = load(MonitoringParams, "monitoring", ROOT / "params.yaml")
        self.known = {"v1": REFERENCE, "v2": REFERENCE}
        self.state, self.trouble = State(), ""
        self._images, self._probabilities = clean(4000, seed=0)
        self._next = 0
        patch.setattr(log_module, "now", lambda: self.now)

    def predict(self, count: int, version: str = "v1", change=None, seconds: float = 1) -> list[str]:
        """Log predictions, all at once, and let time go on."""
        drawn = np.arange(self._next, self._next + count) % len(self._images)
        self._next += count
        images, probabilities = self._images[drawn], self._probabilities[drawn]
        if change is not None:
            images, probabilities = change(images, probabilities)
        ids = self.log.append(Scored(version, images, probabilities, probabilities.argmax(1).tolist()))
        self.now += round(seconds * SECOND)
        return ids

    def label(self, ids: list[str], errors: int = 0, seconds: float = 1, source: str = "test") -> None:
        """Say that all were predicted rightly but the first few."""
        predicted = {
            key: label
            for rows in History(self.log.engine).predictions()
            for key, label in zip(rows.ids, rows.labels.tolist(), strict=True)
        }
        for place, key in enumerate(ids):
            self.log.feedback(key, (predicted[key] + (place < errors)) % 10, source, None)
        self.now += round(seconds * SECOND)

    def look(self, seconds: float = 10) -> list[str]:
        """What a monitor that was just started says that much later: detector, and whether it fires."""
        self.now += round(seconds * SECOND)
        monitor = Monitor(History(self.log.engine), "staging", self.known.get, self.params, self.state)
        told = monitor.look(self.now)
        self.state, self.trouble = monitor.state, monitor.trouble
        return [f"{alert.detector} of {alert.version} {'fires' if alert.firing else alert.why}" for alert in told]

    def levels(self, version: str = "v1") -> dict[str, str]:
        """The levels at this moment."""
        monitor = Monitor(History(self.log.engine), "staging", self.known.get, self.params, self.state)
        return {detector.value: level.value for detector, level in monitor.levels(version, self.now).items()}

    @property
    def windows(self) -> list[tuple[str, int, str]]:
        """Version, number of predictions and end of each window so far."""
        return [(window.version, window.n, window.end.value) for window in self.state.windows]
