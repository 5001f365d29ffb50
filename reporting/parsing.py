"""Content of JSON and YAML files that nobody vouches for, as plain values of a bounded size."""

import json
import math
from typing import Any

import yaml

DEEPEST, MOST = 50, 100_000  # levels and values of a file
# LibYAML where PyYAML was built with it: ten times as quick, and dvc.lock is long.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(path: str, content: bytes | None) -> dict[str, Any]:
    """What a file holds; nothing where there is no file.

    Raises:
        ValueError: it can't be read, is no mapping, or is larger than anything that the pipeline writes.
    """
    if content is None:
        return {}
    text = content.decode()
    try:
        value = json.loads(text) if path.endswith(".json") else _yaml(text)
    except Exception as error:  # PyYAML has more of them than it names: `!!int ""` is an IndexError
        raise ValueError(f"{path}: {error}") from error
    return mapping(_plain(value))


def _yaml(text: str) -> Any:
    # LibYAML nests as deep as the stack of the process goes, which then ends.
    depth = 0
    for event in yaml.parse(text, _LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError("too deep")
    return yaml.load(text, _LOADER)  # noqa: S506, a safe loader


def _plain(value: Any) -> Any:
    """The same as JSON has it. What only YAML has, such as dates, becomes text."""
    left = MOST

    def plain(value: Any, depth: int) -> Any:
        # By reference, a few lines of YAML can hold themselves, or more values than any memory.
        nonlocal left
        left -= 1
        if depth > DEEPEST or left < 0:
            raise ValueError("too deep or too many values")
        if isinstance(value, dict):
            return {str(key): plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item, depth + 1) for item in value]
        if isinstance(value, int) and abs(value) > 1e300:  # no float holds it, so that it can't be subtracted or shown
            return math.inf if value > 0 else -math.inf
        return value if value is None or isinstance(value, str | int | float) else str(value)

    return plain(value, 0)


def mapping(value: Any) -> dict[str, Any]:
    """The value, if it is a mapping; otherwise a ValueError."""
    if not isinstance(value, dict):
        raise ValueError("no mapping")
    return value


def items(value: Any) -> list[Any]:
    """The value, if it is a list; otherwise a ValueError."""
    if not isinstance(value, list):
        raise ValueError("no list")
    return value
