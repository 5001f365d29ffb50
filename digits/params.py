"""Typed, validated params: one frozen dataclass per section of params.yaml, declared where it is used.

A field is an int, float, bool, str, Literal, another dataclass, a tuple of these or a mapping from names to these.
`Annotated[float, Range(...)]` adds the allowed range. Numbers written as text are accepted, because
`dvc exp run -S train.learning_rate=1e-5` writes `1e-05`, which YAML 1.1 reads as a string.
"""

import dataclasses
import math
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from digits.errors import PipelineError

PIPELINE = ("data", "preprocess", "model", "train", "evaluate", "check")  # what dvc.yaml's stages depend on
SECTIONS = (*PIPELINE, "delivery", "monitoring")

Section = TypeVar("Section")


class ParamsError(PipelineError):
    """A key of params.yaml is unknown, missing, of the wrong type or out of range."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Allowed values of a number: `at_least` and `at_most` are included, `above` and `below` are not."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            not math.isnan(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        words = {"at_least": "at least", "at_most": "at most", "above": "above", "below": "below"}
        parts = [f"{words[name]} {limit}" for name, limit in vars(self).items() if limit is not None]
        return " and ".join(parts)


def load(section: type[Section], name: str, path: Path = Path("params.yaml")) -> Section:
    """Read section `name` of the params file.

    Args:
        section: dataclass that declares the section's keys, types and ranges.
        name: one of `SECTIONS`.
        path: the params file.

    Raises:
        ParamsError: the file is no YAML mapping, or a key is unknown, missing, mistyped or out of range.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: not found; run from the top folder of the project") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise ParamsError(f"{path}: expected sections {', '.join(SECTIONS)}; found {_kind(document)}")
    unknown = [str(key) for key in document if key not in SECTIONS]
    if unknown:
        raise ParamsError(f"{path}: unknown section {', '.join(unknown)}; the sections are {', '.join(SECTIONS)}")
    if name not in document:
        raise ParamsError(f"{path}: section {name} is missing")
    try:
        return parse(section, document[name], name)
    except ParamsError as error:
        raise ParamsError(f"{path}: {error}") from None


def parse(section: type[Section], values: object, name: str) -> Section:
    """Build dataclass `section` from a mapping; `name` is the prefix of keys in messages.

    Raises:
        ParamsError: a key is unknown, missing, mistyped or out of range.
    """
    if not isinstance(values, Mapping):
        raise ParamsError(f"{name}: expected a mapping, found {_kind(values)}")
    fields = get_type_hints(section, include_extras=True)
    for key in values:
        if key not in fields:
            raise ParamsError(f"{name}.{key}: unknown key; allowed: {', '.join(fields)}")
    missing = [
        f"{name}.{field.name} ({describe(fields[field.name])})"
        for field in dataclasses.fields(section)  # type: ignore[arg-type]
        if field.name not in values and field.default is dataclasses.MISSING
    ]
    if missing:
        raise ParamsError(f"missing: {', '.join(missing)}")
    typed = {key: _convert(fields[key], value, f"{name}.{key}") for key, value in values.items()}
    try:
        return section(**typed)
    except ValueError as error:  # a rule between several keys, checked by the dataclass itself
        raise ParamsError(f"{name}: {error}") from None


def describe(hint: Any) -> str:
    """Say in words what a declared type allows, for messages."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"{describe(args[0])} {args[1]}"
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in args)
    if origin is tuple:
        return f"a list of one or more, each {describe(args[0])}"
    if origin is dict:
        return f"a mapping of one or more, each {describe(args[1])}"
    if origin in (Union, types.UnionType):
        return " or ".join("null" if arg is type(None) else describe(arg) for arg in args)
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(hint) or "a mapping of " + ", ".join(get_type_hints(hint))


def _convert(hint: Any, value: object, key: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated and (number := _scalar(args[0], value)) is not None:
        if number not in args[1]:
            raise ParamsError(f"{key}: {number} is out of range; allowed: {describe(hint)}")
        return number
    if origin is tuple and isinstance(value, list) and value:
        return tuple(_convert(args[0], item, f"{key}[{index}]") for index, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping) and value:  # empty limits would pass everything
        return {str(name): _convert(args[1], item, f"{key}.{name}") for name, item in value.items()}
    if origin in (Union, types.UnionType):  # only `X | None` is used
        return None if value is None else _convert(args[0], value, key)
    if origin is Literal and value in args and type(value) is type(args[args.index(value)]):
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return parse(hint, value, key)
    converted = _scalar(hint, value)
    if converted is None:
        raise ParamsError(f"{key}: expected {describe(hint)}, found {_kind(value)}")
    return converted


def _scalar(hint: Any, value: object) -> int | float | bool | str | None:
    if hint is bool or isinstance(value, bool):  # bool is a subclass of int: `epochs: true` is a mistake
        return value if hint is bool and isinstance(value, bool) else None
    if hint is str:
        return value if isinstance(value, str) else None
    if hint not in (int, float) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
        if hint is float:
            return number
        if isinstance(value, int):  # as it is: a float holds 53 bits, a seed 63
            return value
        return int(number) if number.is_integer() else None
    except (ValueError, OverflowError):
        return None


def _kind(value: object) -> str:
    if value in ([], {}):
        return f"an empty {'list' if isinstance(value, list) else 'mapping'}"
    names = {dict: "a mapping", list: "a list", type(None): "nothing"}
    return names.get(type(value)) or f"{value!r}"
