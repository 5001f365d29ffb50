"""What monitoring keeps from one run to the next: JSON files that one process writes at a time."""

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

import pydantic

from digits.errors import PipelineError

Content = TypeVar("Content")


def read(
    path: Path, form: pydantic.TypeAdapter[Content], nothing: Content, refusal: Callable[[str], PipelineError]
) -> Content:
    """The content of a file; `nothing` where there is none.

    Args:
        path: of the file.
        form: that it has.
        nothing: what an absent file stands for.
        refusal: makes an error of what is wrong in it.

    Raises:
        PipelineError: `refusal`'s, of a file of another form.
    """
    try:
        return form.validate_json(path.read_bytes())
    except FileNotFoundError:
        return nothing
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise refusal(f"{where}: {first['msg']}") from None


def try_lock(stream: IO[str]) -> bool:
    """Lock an open file for this process until it is closed; False if another process has it."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
