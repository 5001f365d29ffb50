"""Tables of a report, in the words that a reader sees."""

from markdown_it import MarkdownIt

NOT_THERE = "\N{EN DASH}"


def tables(text):
    """Rows of each table, the first its header."""
    found, inside = [], False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type in ("table_open", "table_close"):
            inside = token.type == "table_open"
            found += [[]] * inside
        elif token.type == "tr_open":
            found[-1] = [*found[-1], []]
        elif token.type == "inline" and inside:
            found[-1][-1].append("".join(child.content for child in token.children))
    return found


def rows(text, *header):
    """Rows of all tables with this header."""
    return [row for table in tables(text) if tuple(table[0]) == header for row in table[1:]]
