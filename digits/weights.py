"""Weights as safetensors, with what is needed to use them: architecture, training facts. Loading runs no code."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from digits.architecture import ModelParams
from digits.errors import PipelineError
from digits.model import DigitClassifier
from digits.params import ParamsError, parse


class WeightsError(PipelineError):
    """A file is no safetensors file, or does not hold this project's model."""


def serialize(model: DigitClassifier, facts: dict[str, Any]) -> bytes:
    """Pack weights, architecture and `facts` (JSON: how the model came about) into the bytes of a safetensors file."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    # One text entry: the order of several would differ from run to run (safetensors keeps them in a hash map).
    metadata = {"model": json.dumps({"params": dataclasses.asdict(model.params), "facts": facts}, sort_keys=True)}
    return safetensors.torch.save(tensors, metadata)


def load(path: Path) -> tuple[DigitClassifier, dict[str, Any]]:
    """Build the model that a file describes and fill in its weights.

    Returns:
        the model, in evaluation mode on the CPU, and the facts it was saved with.

    Raises:
        WeightsError: the file is no safetensors file, or its architecture and weights do not fit each other.
    """
    path.open("rb").close()  # a missing file: safetensors' own error carries no number and no file name
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        description = json.loads(metadata["model"])
        model = DigitClassifier(parse(ModelParams, description["params"], "model"))
        model.load_state_dict(tensors)
        return model.eval(), dict(description["facts"])
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError, ParamsError) as error:
        raise WeightsError(
            f"{path}: not a model of this project ({error}); "
            f"remove it, then restore it with `dvc checkout`, `dvc pull` or `dvc repro`"
        ) from None
