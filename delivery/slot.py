"""The model that answers: loaded, tested and warmed beside the old one, then switched by one reference."""

import asyncio
import dataclasses
import json
import threading
from pathlib import Path

import numpy as np

from delivery.smoke import Smoke, smoke_test
from digits.dataset import IMAGE_SIZE
from digits.errors import PipelineError
from digits.onnx_model import OnnxModel

# Images of several requests that share a call, at most: behind more of them others would wait longer than the call
# saves. A request with more has a call of its own.
TOGETHER = 128


class SlotError(PipelineError):
    """No model can answer, or a new one may not."""


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """One version, ready to answer."""

    version: str
    commit: str | None
    model: OnnxModel
    smoke: Smoke


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a model lies: `<deployments>/<stage>/current`, or the workspace's models where nothing was released."""

    folder: Path
    workspace: bool = False

    def load(self, accuracy: float) -> Loaded:
        """Load the model, run its smoke test, and run it once with as many images as share a batch.

        Args:
            accuracy: share of the smoke set that has to be right.

        Raises:
            SlotError: there is none, or it fails its smoke test.
            PipelineError: a file is damaged.
        """
        folder = self.folder.resolve()  # `current` may move on while its files are read
        model, smoke = folder / "model.onnx", folder / "smoke.npz"
        for path in (model, smoke):
            if not path.is_file():
                advice = "`make pull` or `make repro`" if self.workspace else "`make promote`"
                raise SlotError(f"{path}: not found, so there is no model to serve; bring one with {advice}")
        version, commit = ("workspace", None) if self.workspace else _version(folder / "version.json")
        session = OnnxModel(model)
        result = smoke_test(session, smoke, accuracy)
        if not result.passed:
            raise SlotError(f"{version}: the smoke test failed: {result.reason}")
        session.probabilities(np.zeros((TOGETHER, IMAGE_SIZE, IMAGE_SIZE), np.uint8))  # takes its memory now, not later
        return Loaded(version, commit, session, result)


def _version(path: Path) -> tuple[str, str | None]:
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        return str(stated["version"]), stated.get("commit")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SlotError(f"{path}: does not state a version ({error}); deploy it again with `make deploy`") from None


class Slot:
    """Holds the version that answers, and counts the answers of each that are still under way."""

    def __init__(self) -> None:
        self._current: Loaded | None = None
        self._lock = threading.Lock()
        self._under_way: dict[Loaded, int] = {}
        self._returned = asyncio.Event()
        self.reason = "no model has been loaded yet"

    @property
    def current(self) -> Loaded | None:
        """What answers now; None before the first model."""
        return self._current

    def take(self, requests: int) -> Loaded:
        """The version for the next answers, so many of which are under way until each is given back.

        Raises:
            SlotError: there is none.
        """
        with self._lock:
            if self._current is None:
                raise SlotError(self.reason)
            self._under_way[self._current] = self._under_way.get(self._current, 0) + requests
            return self._current

    def give_back(self, loaded: Loaded, requests: int = 1) -> None:
        """Say that answers of this version have been sent. Call in the event loop's thread."""
        with self._lock:
            self._under_way[loaded] -= requests
            if self._under_way[loaded]:
                return
            del self._under_way[loaded]
        self._returned.set()

    async def switch(self, loaded: Loaded) -> None:
        """Let this version answer from now on. When this returns, every answer of an older one has been sent."""
        with self._lock:
            self._current = loaded
        while self._others_answer(loaded):
            self._returned.clear()
            await self._returned.wait()

    def _others_answer(self, loaded: Loaded) -> bool:
        with self._lock:
            return any(other is not loaded for other in self._under_way)
