"""Markdown as GitHub reads it."""

from markdown_it import MarkdownIt

GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def cells(text: str) -> list[tuple[str, ...]]:
    """Rows of all tables, each a tuple of the text that a reader sees."""
    found: list[tuple[str, ...]] = []
    row: list[str] = []
    for token in GITHUB.parse(text):
        if token.type == "tr_open":
            row = []
        elif token.type == "inline":
            row.append("".join(child.content for child in token.children or []))
        elif token.type == "tr_close":
            found.append(tuple(row))
    return found


def structure(text: str) -> list[str]:
    """What kinds of elements follow one another, without their text."""
    kinds = []
    for token in GITHUB.parse(text):
        kinds.append(token.content.splitlines()[0] if token.type == "html_block" else token.type)
        kinds += [child.type for child in token.children or []]
    return kinds
