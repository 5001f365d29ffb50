"""What a figure was measured on, and the file that keeps it."""

import datetime
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.basis import line
from digits.storage import write_text

RESULTS = Path("benchmarks/results")
QUOTING = (Path("README.md"), Path("benchmarks/README.md"))


def describe(*packages: str) -> str:
    """One line: processor, cores, system, versions, day."""
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in packages)
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{processor()}, {os.cpu_count()} cores; {system}, {versions}; {datetime.date.today():%Y-%m-%d}"


def processor() -> str:
    """Name of the processor as the system states it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def children_seconds() -> float:
    """User and system time of all that this process has started and waited for: take the difference of two calls."""
    times = os.times()
    return times.children_user + times.children_system


def replace(path: Path, old: str, new: str) -> None:
    """Put `new` in place of `old` in a file. Were it not there, what is measured would be something else."""
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise LookupError(f"{path}: no {old!r} to be replaced")
    path.write_text(text.replace(old, new), encoding="utf-8")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def publish(name: str, command: str, body: str, *packages: str) -> None:
    """Print a result and keep it in benchmarks/results/, with the command, the machine and what it holds for.

    Where a document quotes the one before, it quotes this one from now on.

    Raises:
        BasisError: what it holds for is not what dvc.lock names.
    """
    print(f"{body}\n")
    measured = f"Measured by `{command}` on {describe(*packages)}.\n{line(name)}"
    print(measured)
    rewritten(RESULTS / f"{name}.md", f"{body}\n\n{measured}")


def rewritten(path: Path, text: str) -> None:
    """Put `text` in place of what a result's file has, there and in each document that quotes it."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    for document in QUOTING:
        if before and before in (quoting := document.read_text(encoding="utf-8")):
            write_text(document, quoting.replace(before, text))
    write_text(path, text)
