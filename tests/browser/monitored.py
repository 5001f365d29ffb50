"""A prediction log with a story, as the shipped model would have written it, to be shown on the dashboard."""

from pathlib import Path
from unittest import mock

import numpy as np

from delivery.history import History
from delivery.log import PredictionLog, Scored
from delivery.schema import SECOND
from digits.onnx_model import OnnxModel
from digits.params import load
from digits.storage import read_arrays
from monitoring import state
from monitoring.monitor import Monitor
from monitoring.references import References
from monitoring.settings import MonitoringParams
from monitoring.shifts import rotated
from tests.e2e.project import ROOT

STAGE = "production"
MINUTE = 60 * SECOND


class Story:
    """Traffic as it was, dated at will and watched all the time.

    Args:
        folder: log, deployments and state lie there as the service has them.
        begin: microseconds since 1970, UTC.
        pulled: where the project's own outputs are.
    """

    def __init__(self, folder: Path, begin: int, pulled: Path = ROOT) -> None:
        self.now = begin
        self.log = PredictionLog(f"sqlite:///{folder / 'log.db'}", STAGE)
        self.path = folder / f"logs/{STAGE}-monitoring.json"
        references = References(folder / "deployments" / STAGE, pulled / "models")
        reference = references("workspace")
        params = load(MonitoringParams, "monitoring", ROOT / "params.yaml")
        self._monitor = Monitor(History(self.log.engine), STAGE, lambda _: reference, params, state.State())
        self._images, self._labels = read_arrays(pulled / "data/traffic.npz", "images", "labels")
        self._model = OnnxModel(pulled / "models/model.onnx")
        self._random = np.random.default_rng(0)
        self._next = 0

    def traffic(self, minutes: float, version: str, rate: float = 1, labels: float = 0, degrees: float = 0) -> None:
        """So many minutes of it.

        Args:
            minutes: that it takes.
            version: that answers.
            rate: predictions a second, about.
            labels: share of them whose true label comes, half a minute later.
            degrees: by which the images are turned.
        """
        for _ in range(round(2 * minutes)):
            count = max(1, self._random.poisson(30 * rate))
            drawn = np.arange(self._next, self._next + count) % len(self._images)
            self._next += count
            images = self._images[drawn]
            if degrees:
                images = rotated(images, degrees)
            probabilities = self._model.probabilities(images)
            with mock.patch("delivery.log.now", self._time):
                ids = self.log.append(Scored(version, images, probabilities, probabilities.argmax(1).tolist()))
                self.now += MINUTE // 2
                for key, label in zip(ids, self._labels[drawn].tolist(), strict=True):
                    if self._random.random() < labels:
                        self.log.feedback(key, label, "clerk", None)
            self._monitor.look(self.now)

    def _time(self) -> int:
        return self.now

    def close(self) -> None:
        """The state as it is now goes to its file."""
        self.log.close()
        state.write(self.path, self._monitor.state)
