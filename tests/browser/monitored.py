"""A stage with a story, as the shipped model would have written it in its log, and its dashboard."""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
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
from tests.browser.drawing import Service
from tests.e2e.project import BIN, ROOT
from tests.e2e.service import started

STAGE = "production"
MINUTE = 60 * SECOND
MODELS = ("model.onnx", "smoke.npz", "reference.npz")


class Story:
    """Traffic as it was, dated at will and watched all the time.

    Args:
        folder: log, versions and state lie there as the service has them.
        begin: microseconds since 1970, UTC.
        outputs: folder with the outputs of the pipeline.
    """

    def __init__(self, folder: Path, begin: int, outputs: Path = ROOT) -> None:
        self.folder, self.now, self._outputs = folder, begin, outputs
        self.log = PredictionLog(f"sqlite:///{folder / 'log.db'}", STAGE)
        self.params = load(MonitoringParams, "monitoring", ROOT / "params.yaml")
        self.references = References(folder / "deployments" / STAGE)
        history = History(self.log.engine)
        self._monitor = Monitor(history, STAGE, self.references, self.params, state.State())
        self.images, self._labels = read_arrays(outputs / "data/traffic.npz", "images", "labels")
        self._model = OnnxModel(outputs / "models/model.onnx")
        self._random = np.random.default_rng(0)
        self._next = 0

    def deploy(self, version: str) -> None:
        """Put a version in place, as the reconciler does."""
        folder = self.folder / "deployments" / STAGE
        (folder / "versions" / version).mkdir(parents=True)
        for name in MODELS:
            shutil.copy(self._outputs / "models" / name, folder / "versions" / version)
        (folder / "versions" / version / "version.json").write_text(
            json.dumps({"version": version, "commit": "0" * 40})
        )
        (folder / "current").unlink(missing_ok=True)
        (folder / "current").symlink_to(f"versions/{version}")

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
            drawn = np.arange(self._next, self._next + count) % len(self.images)
            self._next += count
            images = self.images[drawn]
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
            self._monitor.state = dataclasses.replace(self._monitor.state, looked=self.now)

    def _time(self) -> int:
        return self.now

    @property
    def state(self) -> state.State:
        """What the monitor found."""
        return self._monitor.state

    def close(self) -> None:
        """The state as it is now goes to its file."""
        self.log.close()
        with contextlib.chdir(self.folder):
            state.write(state.path(STAGE), self.state)


@contextlib.contextmanager
def watched(folder: Path, token: str = "") -> Iterator[Service]:
    """The service with its monitor, and with what is in place in the folder."""
    shutil.copy(ROOT / "params.yaml", folder)
    env = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "MNIST_ADMIN_TOKEN": token}
    command = ["python", "-m", "monitoring.serve", "--as-placed", "--port=0"]
    said = folder / ("with-token.log" if token else "service.log")
    with started(command, folder, env | {"MNIST_LOG_URL": "sqlite:///log.db"}, said) as running:
        service = Service(running.process, running.log)
        service.ready()
        yield service
        service.end()
