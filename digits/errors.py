"""How the pipeline says that something is wrong: what, where and what to do next, without a traceback."""

import errno
import sys
from collections.abc import Callable

_ADVICE = {
    errno.ENOSPC: "free some space, then run the same command again: finished outputs are kept",
    errno.EDQUOT: "free some space, then run the same command again: finished outputs are kept",
    errno.EFBIG: "raise the file-size limit (`ulimit -f`), then run the same command again",
    errno.EROFS: "the folder is mounted read-only: work in a writable copy",
    errno.EACCES: "check the permissions of the folder, then run the same command again",
    errno.ENOENT: "a stage's input is missing: run `dvc repro` (or `dvc pull`) from the top folder",
}


class PipelineError(Exception):
    """An error that a user can act on. Its text says what was wrong, where, and what to do next."""


def run(main: Callable[[], None]) -> None:
    """Call a stage's `main` and turn what a user can act on into one message and exit code 1.

    Anything else keeps its traceback, because it is a defect of ours.
    """
    try:
        main()
    except PipelineError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0)
        if advice is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {where}{error.strerror}\n  {advice}")
