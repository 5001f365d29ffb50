"""What a sweep may vary: for some keys of params.yaml, the values to choose from. Knows neither Ray nor Optuna.

train.learning_rate: { loguniform: [0.05, 0.8] }          # uniform, loguniform: both ends included
train.batch_size: { choice: [48, 64, 96] }
model.channels: [{ integer: [4, 16] }, { loginteger: [8, 64] }]   # of a list: one domain (or a value) an entry
model: { choice: [{ kernels: [5, 4], pools: [3, 1] }, { kernels: [5, 5], pools: [2, 2] }] }     # several keys at once

Two words beside the keys say what is wanted:

objective: frontier             # the best network of each size; `accuracy`, the default, is the best one of all
parameters: { below: 25000 }    # a network that has as many is not tried
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from digits.errors import PipelineError
from digits.params import ParamsError
from scaling.settings import SECTIONS, SpaceError, checked

Objective = Literal["accuracy", "frontier"]

DEFAULT = Path("scaling/sweep.yaml")
NUMBERS = ("uniform", "loguniform", "integer", "loginteger")
OBJECTIVE, PARAMETERS = "objective", "parameters"
EXPECTED = f"{{ choice: [...] }} or [lowest, highest] of one of {', '.join(NUMBERS)}"


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Numbers:
    """A number from `low` to `high`, both included; on a logarithmic scale, whole, or both."""

    low: float
    high: float
    log: bool
    whole: bool


Domain = Choice | Numbers


@dataclasses.dataclass(frozen=True)
class Space:
    """The keys of a sweep, as they are written, and what of them is free."""

    document: dict[str, Any]
    domains: dict[str, Domain]  # by key, by key and position (`model.channels[0]`), or by section
    objective: Objective = "accuracy"
    below: int | None = None  # so many parameters has no network

    def settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Keys of params.yaml with their values, from a value for each domain (for a choice: its position)."""
        settings: dict[str, Any] = {}
        for key, written in self.document.items():
            if key in (OBJECTIVE, PARAMETERS):
                continue
            if isinstance(written, list):
                names = [f"{key}[{index}]" for index in range(len(written))]
                settings[key] = [
                    self._value(name, values) if name in self.domains else fixed
                    for name, fixed in zip(names, written, strict=True)
                ]
            elif key in SECTIONS:
                settings |= {f"{key}.{name}": value for name, value in self._value(key, values).items()}
            else:
                settings[key] = self._value(key, values)
        return settings

    def values(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The reverse of `settings`."""
        values: dict[str, Any] = {}
        for name, domain in self.domains.items():
            key, _, position = name.rstrip("]").partition("[")
            if key in SECTIONS and isinstance(domain, Choice):
                found: Any = {part: settings[f"{key}.{part}"] for part in domain.values[0]}
            else:
                found = settings[key][int(position)] if position else settings[key]
            values[name] = domain.values.index(found) if isinstance(domain, Choice) else found
        return values

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        domain = self.domains[name]
        return domain.values[values[name]] if isinstance(domain, Choice) else values[name]


def load(path: Path = DEFAULT) -> Space:
    """Read a search space.

    Raises:
        SpaceError: the file is missing, no YAML, or says of a key what params.yaml does not allow.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpaceError(f"{path}: not found; name a search space with SPACE=, or write one like {DEFAULT}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpaceError(f"{path}: not valid YAML: {error}") from None
    try:
        return parse(document)
    except PipelineError as error:
        raise SpaceError(f"{path}: {error}") from None


def parse(document: object) -> Space:
    """Check a search space and bring its values into the types that params.yaml has.

    Raises:
        SpaceError: it is no mapping, a key can't be varied, or a domain is none.
        ParamsError: a key is unknown, or a value is mistyped or out of range.
    """
    if not isinstance(document, Mapping) or not document:
        raise SpaceError("expected keys such as `train.learning_rate: { loguniform: [0.05, 0.8] }`, found none")
    typed: dict[str, Any] = {key: document[key] for key in (OBJECTIVE, PARAMETERS) if key in document}
    objective, below = _wanted(**typed)
    domains: dict[str, Domain] = {}
    varied: list[str] = []
    for key, written in document.items():
        if key in (OBJECTIVE, PARAMETERS):
            continue
        if key in SECTIONS:
            domains[key] = choice = _several(key, written)
            typed[key] = {"choice": list(choice.values)}
            varied += [f"{key}.{name}" for name in choice.values[0]]
            continue
        varied.append(key)
        if isinstance(written, list):
            typed[key] = []
            for index, entry in enumerate(written):
                name, of_entry = f"{key}[{index}]", partial(_entry, key, index)
                if isinstance(entry, Mapping):
                    domains[name], plain = _domain(name, entry, of_entry)
                else:
                    plain = of_entry(entry)
                typed[key].append(plain)
        else:
            domains[key], typed[key] = _domain(key, written, partial(checked, key))
    twice = [key for key in varied if varied.count(key) > 1]
    if twice:
        raise SpaceError(f"{twice[0]}: given twice, alone and in a choice of several keys")
    if not domains:
        raise SpaceError("nothing in it is free: give a key a choice or a range")
    return Space(typed, domains, objective, below)


def _wanted(objective: Any = "accuracy", parameters: Any = None) -> tuple[Objective, int | None]:
    """Read what is no key of params.yaml."""
    if objective not in get_args(Objective):
        raise SpaceError(f"objective: expected one of {', '.join(get_args(Objective))}; found {objective!r}")
    if parameters is None:
        return objective, None
    below = parameters.get("below") if isinstance(parameters, Mapping) and len(parameters) == 1 else None
    if not isinstance(below, int) or below < 1:
        raise SpaceError(f"parameters: expected {{ below: 25000 }} or another number; found {parameters!r}")
    return objective, below


def _entry(key: str, index: int, value: object) -> Any:
    """A value for one entry of the list that `key` takes."""
    try:
        return checked(key, [value])[0]
    except ParamsError as error:
        raise ParamsError(str(error).replace(f"{key}[0]", f"{key}[{index}]")) from None


def _domain(name: str, written: object, typed: Callable[[object], Any]) -> tuple[Domain, dict[str, Any]]:
    """Read what stands for a key, or for an entry of its list; `typed` checks a value of it."""
    kind, given = next(iter(written.items())) if isinstance(written, Mapping) and len(written) == 1 else ("", None)
    if kind not in ("choice", *NUMBERS) or not isinstance(given, list) or not given:
        typed(written) if not isinstance(written, Mapping) else None  # an unknown key is the worse mistake
        raise SpaceError(f"{name}: expected {EXPECTED}; found {written!r}")
    values = [typed(value) for value in given]
    if kind == "choice":
        if any(value in values[:index] for index, value in enumerate(values)):
            raise SpaceError(f"{name}: a value is there twice in {given}")
        return Choice(tuple(values)), {kind: values}
    if len(values) != 2 or any(isinstance(value, bool | str | list) for value in values) or not values[0] < values[1]:
        raise SpaceError(f"{name}: {kind} takes two numbers, [lowest, highest]; found {given}")
    low, high = values
    whole, log = kind.endswith("integer"), kind.startswith("log")
    if log and low <= 0:
        raise SpaceError(f"{name}: {kind} starts above 0, found {given}")
    if whole != isinstance(low, int):
        other = kind.replace("integer", "uniform") if whole else kind.replace("uniform", "integer")
        raise SpaceError(f"{name}: has {'any numbers' if whole else 'whole numbers alone'}; use {other}: {given}")
    return Numbers(low, high, log, whole), {kind: values}


def _several(section: str, written: object) -> Choice:
    """Read a choice among values of several keys of a section, which have to go together."""
    given = written.get("choice") if isinstance(written, Mapping) and len(written) == 1 else None
    if not isinstance(given, list) or not given or not all(isinstance(one, Mapping) and one for one in given):
        raise SpaceError(f"{section}: expected {{ choice: [{{ key: value, ... }}, ...] }}; found {written!r}")
    if any(one.keys() != given[0].keys() for one in given):
        raise SpaceError(f"{section}: every choice needs the same keys, {', '.join(given[0])}")
    return Choice(tuple({key: checked(f"{section}.{key}", value) for key, value in one.items()} for one in given))
