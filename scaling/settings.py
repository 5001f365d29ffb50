"""Settings of a trial: values for keys of params.yaml, under the same rules and with the same messages."""

import dataclasses
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

from digits import params
from digits.architecture import ModelParams
from digits.dataset import CLASSES
from digits.errors import PipelineError
from digits.params import ParamsError
from digits.recipe import TrainParams

SECTIONS: dict[str, type] = {"model": ModelParams, "train": TrainParams}
REFUSED = {  # keys of params.yaml that no sweep varies, and why
    "train.device": "it is where a trial computes, and changes the last bits",
    "train.threads": "it is what a trial costs, and changes the last bits",
    "train.processes": "its trials train in one process each",
    "train.instructions": "it is how a trial computes, and changes the last bits",
    "train.validations": "it is how often a trial is measured, and all have to be measured alike",
    "train.calibration": "it comes after training, and changes no validation accuracy",
}
Base = dict[str, dict[str, Any]]  # sections `model` and `train` of params.yaml


class SpaceError(PipelineError):
    """A search space that says nothing, or something that params.yaml does not allow."""


def checked(key: str, value: object) -> Any:
    """A value for one key of params.yaml, in its type.

    Raises:
        SpaceError: no sweep varies that key.
        ParamsError: there is none such, or that is not among its values; the text is that of params.yaml.
    """
    section, _, name = str(key).partition(".")
    if section not in SECTIONS or not name:
        raise SpaceError(f"{key}: a sweep varies keys of {' and '.join(SECTIONS)}, such as train.learning_rate")
    hints = get_type_hints(SECTIONS[section], include_extras=True)
    if name not in hints:
        raise ParamsError(f"{key}: unknown key; allowed: {', '.join(hints)}")
    if key in REFUSED:
        raise SpaceError(f"{key}: not for a sweep, because {REFUSED[key]}; set it in params.yaml")
    # A section of this key alone: what it has to agree with may be varied too.
    alone = dataclasses.make_dataclass(section, [(name, hints[name])])
    return _plain(getattr(params.parse(alone, {name: value}, section), name))


def base(path: Path = Path("params.yaml")) -> Base:
    """What holds for the keys that a sweep does not vary: sections `model` and `train`, checked, as JSON has them.

    Raises:
        ParamsError: see `digits.params.load`.
        SpaceError: a trial could not do as params.yaml says.
    """
    loaded: dict[str, Any] = {name: params.load(section, name, path) for name, section in SECTIONS.items()}
    if loaded["train"].processes > 1:
        raise SpaceError(f"{path}: train.processes: a trial trains in one process; set it to 1 for a sweep")
    return {name: {key: _plain(value) for key, value in vars(section).items()} for name, section in loaded.items()}


def sections(settings: Mapping[str, Any], base: Base) -> tuple[ModelParams, TrainParams]:
    """What a trial trains: `base` with its settings.

    Raises:
        ParamsError: they do not go together, such as a network that has no pixel left.
    """
    merged = {name: dict(values) for name, values in base.items()}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        merged[section][name] = value
    return params.parse(ModelParams, merged["model"], "model"), params.parse(TrainParams, merged["train"], "train")


def parameter_count(model: ModelParams) -> int:
    """Of a network that nobody has built yet, without torch."""
    layers = zip(pairwise((1, *model.channels)), model.kernels, strict=True)
    convolutions = sum(inputs * outputs * kernel**2 for (inputs, outputs), kernel in layers)
    normalisations = 2 * sum(model.channels)
    features = model.channels[-1] * model.sides()[-1] ** 2
    return convolutions + normalisations + (features + 1) * CLASSES


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
