"""What the tests of the service ask it, and a model that answers when it may."""

import re
import threading

import numpy as np

from delivery.slot import Loaded
from delivery.smoke import Smoke
from tests import synthetic
from tests.delivery.serving import body

IMAGES = synthetic.digits(30, seed=3).images
JSON = "application/json"
UNKNOWN = "00000000-0000-7000-8000-000000000000"
TOKEN = "a secret of 24 letters.."


class Stub:
    """A source whose model answers when it may."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.error: Exception | None = None

    def load(self, _accuracy: float) -> Loaded:
        if self.error:
            raise self.error
        return Loaded("v0.0.1", "4996717", self, Smoke(True, 20, 20))

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        assert self.open.wait(20)
        return np.tile(np.float32([0.1] * 9 + [0.1]), (len(images), 1))


def predicted(running, *images) -> list[str]:
    """Ids of predictions."""
    answer = running.predict(body(*images), JSON)
    assert answer.status_code == 200, answer.text
    return [prediction["id"] for prediction in answer.json()["predictions"]]


def metric(running, line: str) -> float:
    """Value of a series, 0 where there is none yet."""
    found = re.search(rf"^{re.escape(line)} (\S+)$", running.client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0
