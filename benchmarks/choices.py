"""The networks and recipes that the benchmarks compare, as overrides of params.yaml that `dvc exp run -S` takes too."""

from pathlib import Path
from typing import Any

import yaml

from digits.architecture import ModelParams
from digits.params import parse
from digits.recipe import TrainParams

_FAST = [
    "model.channels=[16,48]",
    "model.kernels=[5,3]",
    "model.pools=[3,2]",
    "train.batch_size=128",
    "train.learning_rate=0.3",
]

CHOICES: dict[str, list[str]] = {
    "default": [],
    "fast": _FAST,
    "fast-bfloat16": [*_FAST, "train.precision=bfloat16", "train.instructions=native"],
    "four-convolutions": [
        "model.channels=[16,24,32,32]",
        "model.kernels=[5,3,3,3]",
        "model.paddings=[0,1,0,0]",
        "model.pools=[2,1,2,1]",
        "train.batch_size=48",
        "train.learning_rate=0.2",
    ],
}


def values(overrides: list[str]) -> dict[str, Any]:
    """Overrides as a mapping from keys of params.yaml to their values."""
    pairs = [override.partition("=") for override in overrides]
    return {key: yaml.safe_load(value) for key, _, value in pairs}


def overridden(overrides: list[str], path: Path) -> dict[str, Any]:
    """Content of a params file with `section.key=value` overrides."""
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, value in values(overrides).items():
        section, _, key = name.partition(".")
        document[section][key] = value
    return document


def params(overrides: list[str], path: Path = Path("params.yaml")) -> tuple[ModelParams, TrainParams]:
    """Sections `model` and `train` of params.yaml with `section.key=value` overrides.

    Raises:
        ParamsError: a key or value that params.yaml could not hold either.
    """
    document = overridden(overrides, path)
    return parse(ModelParams, document["model"], "model"), parse(TrainParams, document["train"], "train")
