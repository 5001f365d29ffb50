"""Export: from weights to the ONNX file that ships, with proof that both say the same.

Run by `dvc repro`, or alone: python -m stages.export
"""

from pathlib import Path

import numpy as np
import torch

from digits import weights
from digits.errors import PipelineError, run
from digits.model import Probabilities
from digits.onnx_export import to_onnx
from digits.onnx_model import OnnxModel
from digits.storage import read_arrays, replacing

WEIGHTS = Path("models/model.safetensors")
VALIDATION = Path("data/prepared/validation.npz")
ONNX = Path("models/model.onnx")

COMPARED = 1000  # validation images
TOLERANCE = 1e-5  # of a probability; the two runtimes add up in different orders


class ParityError(PipelineError):
    """The exported model does not compute what the trained one does."""


def main() -> None:
    """Run the stage."""
    model, facts = weights.load(WEIGHTS)
    images = read_arrays(VALIDATION, "images")[0][:COMPARED]
    with replacing(ONNX) as temporary:
        temporary.write_bytes(to_onnx(model, {key: str(value) for key, value in facts.items()}))
        with torch.no_grad():
            expected = Probabilities(model)(torch.from_numpy(images)).numpy()
        difference = float(np.abs(OnnxModel(temporary).probabilities(images) - expected).max())
        print(f"largest difference of a probability, ONNX Runtime and torch, {len(images)} images: {difference:.1e}")
        # Written this way round so that NaN fails.
        if not difference <= TOLERANCE:
            raise ParityError(f"{ONNX}: differs from {WEIGHTS} by {difference:.1e}; at most {TOLERANCE:.0e} is allowed")


if __name__ == "__main__":
    run(main)
