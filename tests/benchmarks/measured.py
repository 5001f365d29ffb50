"""Results as benchmarks/results/ keeps them."""

import re
from pathlib import Path

from tests.reporting.github import cells

ROOT = Path(__file__).parents[2]
RESULTS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks/results").glob("*.md")}


def rows(result: str) -> list[dict[str, str]]:
    """Rows of all tables of a result, by column."""
    found: list[dict[str, str]] = []
    for block in re.findall(r"(?:^\|.*\n)+", RESULTS[result], re.MULTILINE):
        header, *body = cells(block)
        found += [dict(zip(header, row, strict=True)) for row in body]
    return found


def row(result: str, first: str) -> dict[str, str]:
    """The row that begins with a cell."""
    (found,) = (one for one in rows(result) if next(iter(one.values())) == first)
    return found


def numbers(cell: str) -> list[float]:
    """Such as [0.55, 0.31, 0.98] of "0.55 (0.31 to 0.98)"."""
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", cell)]
