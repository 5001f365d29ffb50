"""Smoke test: a few stored images with known labels, through the session that is going to answer.

It tells a model that works from one that does not, in milliseconds; how good a model is was decided by `check`.
Of a version that is about to be deployed: python -m delivery.smoke folder [--accuracy 0.9]
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from delivery.settings import DeliveryParams
from digits import params
from digits.dataset import labelled
from digits.errors import PipelineError, run
from digits.onnx_model import OnnxModel
from digits.storage import read_arrays

# What evaluate stored was computed by the same file, so it comes out the same to the bit on one kind of processor.
# Another kind, or another version of ONNX Runtime, may add up in another order.
TOLERANCE = 1e-4


class Model(Protocol):
    """Whatever gives probabilities: a session, or a service that has one."""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities float32 (N, classes) of images uint8 (N, H, W)."""
        ...


class SmokeError(PipelineError):
    """A version has failed its smoke test."""


@dataclasses.dataclass(frozen=True)
class Smoke:
    """What came of a smoke test; `reason` says why it failed, and is empty where it passed."""

    passed: bool
    images: int
    right: int
    reason: str = ""

    def summary(self) -> dict[str, Any]:
        """What `/readyz` and status.json say of it."""
        return {"passed": self.passed, "images": self.images, "right": self.right}


def main() -> None:
    """Test the model of a folder by the smoke set beside it; says what came of it, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with model.onnx and smoke.npz")
    parser.add_argument("--accuracy", type=float, help="share that has to be right; default: that of params.yaml")
    arguments = parser.parse_args()
    accuracy = arguments.accuracy
    if accuracy is None:
        accuracy = params.load(DeliveryParams, "delivery").smoke_accuracy
    result = smoke_test(OnnxModel(arguments.folder / "model.onnx"), arguments.folder / "smoke.npz", accuracy)
    if not result.passed:
        raise SmokeError(f"{arguments.folder}: the smoke test failed: {result.reason}")
    print(json.dumps(result.summary()))


def smoke_test(model: Model, smoke: Path, accuracy: float) -> Smoke:
    """Ask `model` for the labels of the images in `smoke`, and hold its answers against those that evaluate stored.

    Args:
        model: what is under test.
        smoke: the version's own smoke set, models/smoke.npz: images, labels and probabilities.
        accuracy: the share of labels, 0 to 1, that have to be right.

    Returns:
        the verdict; a model that can't score the images has failed, and that is no error.

    Raises:
        FileError, DatasetError: `smoke` holds no smoke set.
    """
    images, labels, stored = read_arrays(smoke, "images", "labels", "probabilities")
    labelled((images, labels), str(smoke))
    try:
        probabilities = model.probabilities(images)
    except PipelineError as error:
        return Smoke(False, len(labels), 0, str(error))
    except Exception as error:  # onnxruntime's share no other base class
        said = str(error).partition("\n")[0]
        return Smoke(False, len(labels), 0, f"the model can't score the smoke set: {said}")
    if probabilities.shape != stored.shape:
        shapes = f"{probabilities.shape}, expected {stored.shape}"
        return Smoke(False, len(labels), 0, f"the model's probabilities have the shape {shapes}")
    right = int((probabilities.argmax(1) == labels).sum())
    difference = float(np.abs(probabilities - stored).max())
    reason = ""
    if right < accuracy * len(labels):
        reason = f"{right} of {len(labels)} labels of the smoke set are right, asked for is a share of {accuracy}"
    elif not difference <= TOLERANCE:  # in these words NaN fails, too
        reason = (
            f"the model answers otherwise than when it was evaluated: a probability differs by {difference:.2g}, "
            f"at most {TOLERANCE:g} is allowed"
        )
    return Smoke(not reason, len(labels), right, reason)


if __name__ == "__main__":
    run(main)
