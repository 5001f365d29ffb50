"""GitHub-flavoured Markdown from text that nobody vouches for: names of branches and metrics, values of params.

Text becomes a code span, in which GitHub looks for neither links, mentions, issues, emoji nor formulas.
"""

import dataclasses
import html
import json
import math
import re
from collections.abc import Sequence
from typing import Any

LIMIT = 65_536  # characters of a comment on GitHub
RESERVE = 1_536  # for what is put around the report: CML's watermark, a heading of the workflow's
NONE = "–"  # noqa: RUF001, not a minus
LONGEST = 80  # characters of a value that are shown
ROWS = 100


@dataclasses.dataclass(frozen=True)
class Detail:
    """A part of the report that is folded until somebody opens it."""

    title: str  # words of ours
    body: str
    gist: str = ""  # what to know without opening it, as HTML

    def __str__(self) -> str:
        return f"<details>\n<summary>{self.title}{self.gist}</summary>\n\n{self.body}\n\n</details>\n"


def code(text: str, longest: int = LONGEST) -> str:
    """Text as a code span that stays in its line and in its table cell, whatever it holds.

    What would end a line or a cell, and marks that turn the direction of writing, are shown as escapes of Python's.
    """
    text = _line(text or '""', longest).replace("|", r"\x7c")
    fence = "`" * (1 + _ticks(text))
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def html_code(text: str) -> str:
    """The same where GitHub takes HTML and no Markdown: in the title of a folded part."""
    return f"<code>{html.escape(_line(text, LONGEST))}</code>"


def block(text: str, longest: int = 500, most: int = 20) -> str:
    """Lines as a block of code that they can't end, indented so that it can stand in an item of a list."""
    lines = [_line(line, longest) for line in text.splitlines()]
    lines = lines[:most] + (["..."] if len(lines) > most else [])
    fence = "`" * max(3, 1 + _ticks(text))
    return "\n".join(f"  {line}" for line in [f"{fence}text", *lines, fence])


def _line(text: str, longest: int) -> str:
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def figure(value: Any) -> str:
    """A metric's value: numbers with six digits and thousands set apart, everything else as code."""
    if value is None:
        return NONE
    if isinstance(value, bool) or not isinstance(value, int | float):
        return code(shown(value))
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**18 else f"{value:.6g}"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{value:+}"
    return f"{value:,.0f}" if value.is_integer() and 1e3 <= abs(value) < 1e15 else f"{value:.6g}"


def difference(base: Any, head: Any) -> str:
    """What to write into the column of differences."""
    if base is None:
        return "new"
    if head is None:
        return "removed"
    numbers = [item for item in (base, head) if isinstance(item, int | float) and not isinstance(item, bool)]
    if len(numbers) < 2 or not all(map(math.isfinite, numbers)):
        return NONE
    if base == head:
        return "0"
    gap = head - base
    return f"{gap:+,}" if isinstance(gap, int) and abs(gap) < 10**18 else f"{gap:+.6g}"


def shown(value: Any) -> str:
    """A param's value as text: words as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def pair(base: Any, head: Any) -> tuple[str, str]:
    """Two values as code, told apart even where only their types differ (the number 1 and the text "1")."""
    texts = [shown(base), shown(head)]
    if texts[0] == texts[1]:
        texts = [json.dumps(value, default=str) for value in (base, head)]
    return code(texts[0]), code(texts[1])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Table with its first column to the left and the others to the right; cells are Markdown already."""
    marks = [":---"] + ["---:"] * (len(header) - 1)
    lines = [f"| {' | '.join(line)} |" for line in (header, marks, *rows[:ROWS])]
    if len(rows) > ROWS:
        lines.append(f"\n... and {len(rows) - ROWS:,} more")
    return "\n".join(lines)


def listed(items: Sequence[str], most: int = 5) -> str:
    """Items in one line, of which the last are only counted where they are many."""
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def assemble(lead: str, details: Sequence[Detail], end: str, limit: int = LIMIT - RESERVE) -> str:
    """The whole report, of at most `limit` bytes, which are never fewer than characters.

    Where it would be more, the last details are left out first, and the report says so.
    """
    for kept in range(len(details), -1, -1):
        left_out = [detail.title for detail in details[kept:]]
        note = f"_Left out, since a comment has a limited size: {', '.join(left_out)}._\n" if left_out else ""
        text = "\n".join(filter(None, [lead, *map(str, details[:kept]), note, end]))
        if _size(text) <= limit:
            return text
    cut, note = [], "\n_The rest is left out, since a comment has a limited size._\n"
    room = limit - _size(note)
    for line in lead.splitlines(keepends=True):
        room -= _size(line)
        if room < 0:
            break
        cut.append(line)
    return "".join(cut) + note


def _size(text: str) -> int:
    return len(text.encode())
