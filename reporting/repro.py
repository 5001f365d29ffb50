"""What `dvc repro` did, read off what it printed."""

import dataclasses
import re
from pathlib import Path

CHECK = "check"  # the stage that fails if a limit is violated

_RUN = re.compile(r"Running stage '(.+)':$")
_RESTORED = re.compile(r"Stage '(.+)' is cached - skipping run, checking out outputs$")
_FAILED = re.compile(r"ERROR: failed to reproduce '(.+?)'(?:: |$)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclasses.dataclass(frozen=True)
class Repro:
    """Names of stages, each in the order in which DVC came to them."""

    ran: list[str]  # the one that failed included
    restored: list[str]  # from DVC's cache, with what an earlier run had made of the same inputs
    failed: list[str]

    @property
    def broken(self) -> list[str]:
        """Stages that failed for another reason than a violated limit, so that what follows them did not run."""
        return [name for name in self.failed if name != CHECK]


def parse(printed: str) -> Repro:
    """Read the output, both streams, of one `dvc repro` or of several in a row.

    A stage's own output stands between the lines that count, and may end without a newline.
    """
    lines = _COLOUR.sub("", printed).splitlines()
    return Repro(*(_names(pattern, lines) for pattern in (_RUN, _RESTORED, _FAILED)))


def read(path: Path) -> Repro:
    """Read the same from a file."""
    return parse(path.read_text(encoding="utf-8", errors="replace"))


def _names(pattern: re.Pattern[str], lines: list[str]) -> list[str]:
    return list(dict.fromkeys(found[1] for line in lines if (found := pattern.search(line))))
