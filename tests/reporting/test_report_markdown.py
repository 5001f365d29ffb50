import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reporting.markdown import (
    Detail,
    assemble,
    block,
    code,
    difference,
    figure,
    html_code,
    listed,
    pair,
    shown,
    table,
)

GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def inline(markdown):
    return [child for token in GITHUB.parse(markdown) if token.type == "inline" for child in token.children]


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("train.learning_rate", "`train.learning_rate`"),
        ("@someone #1 https://example.org $x$", "`@someone #1 https://example.org $x$`"),
        ("<img src=x onerror=alert(1)>", "`<img src=x onerror=alert(1)>`"),
        ("$(touch x)`id`", "`` $(touch x)`id` ``"),
        ("a|b", r"`a\x7cb`"),
        ("one\ntwo\r\tthree", r"`one\ntwo\r\tthree`"),
        ("\u202eright to left", r"`\u202eright to left`"),
        ("", '`""`'),
        ("x" * 200, f"`{'x' * 79}…`"),
    ],
)
def test_code(text, markdown):
    assert code(text) == markdown


@given(st.text(max_size=60))
def test_any_text_is_one_code_span_in_one_cell(text):
    rows = [line for line in GITHUB.parse(table(["a", "b"], [[code(text), code(text)]])) if line.type == "inline"]

    assert [token.content for token in rows[:2]] == ["a", "b"]
    assert [[child.type for child in token.children] for token in rows[2:]] == [["code_inline"], ["code_inline"]]
    assert [child.type for child in inline(f"Base {code(text)} differs")] == ["text", "code_inline", "text"]


@given(st.text(max_size=60))
def test_any_text_is_nothing_but_text_in_a_title(text):
    (first, *_, last) = [token for token in GITHUB.parse(str(Detail("t: ", "body", html_code(text)))) if token.content]
    tags = re.findall("<[^>]*>", first.content)

    assert (first.type, last.type, last.content) == ("html_block", "html_block", "</details>\n")
    assert tags == ["<details>", "<summary>", "<code>", "</code>", "</summary>"]


@given(st.text(max_size=60), st.text("`~\n\r\t -#", max_size=20))
def test_any_text_is_one_block_in_one_item(text, marks):
    tokens = GITHUB.parse(f"- before:\n\n{block(marks + text + marks)}\n- after")

    assert [token.type for token in tokens if token.type in ("list_item_open", "inline", "fence")] == [
        *("list_item_open", "inline", "fence"),
        *("list_item_open", "inline"),
    ]


def test_a_block_keeps_lines_and_cuts_what_is_too_much():
    assert block("a:\n  b") == "  ```text\n  a:\n    b\n  ```"
    assert block("long\n" * 9, longest=3, most=2) == "  ```text\n  lo…\n  lo…\n  ...\n  ```"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (22922, "22,922"),
        (0.9938, "0.9938"),
        (25000.0, "25,000"),
        (1.0, "1"),
        (1e-05, "1e-05"),
        (math.nan, "NaN"),
        (-math.inf, "-inf"),
        (True, "`true`"),
        ("a|b", r"`a\x7cb`"),
        ([1, 2], "`[1, 2]`"),
        (10**30, "1e+30"),
    ],
)
def test_figure(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(
    ("base", "head", "text"),
    [
        (None, 1, "new"),
        (1, None, "removed"),
        (1, 1, "0"),
        (22922, 1000, "-21,922"),
        (0.5, 0.75, "+0.25"),
        (0.9938, 0.9912, "-0.0026"),
        (math.nan, 0.5, "\N{EN DASH}"),
        ("a", "b", "\N{EN DASH}"),
        (False, True, "\N{EN DASH}"),
    ],
)
def test_difference(base, head, text):
    assert difference(base, head) == text


def test_params_are_shown_as_written_and_told_apart_by_type():
    assert shown("MNIST") == "MNIST"
    assert pair([16, 40], 0.1) == ("`[16, 40]`", "`0.1`")
    assert pair(1, "1") == ("`1`", '`"1"`')


def test_long_lists_and_tables_are_counted():
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert table(["n"], [[str(n)] for n in range(1300)]).endswith("| 99 |\n\n... and 1,200 more")


def test_the_last_details_are_left_out_first():
    details = [Detail("first", "x" * 50), Detail("second", "y" * 50)]
    whole = assemble("lead\n", details, "end\n", 10_000)
    less = assemble("lead\n", details, "end\n", len(whole) - 1)

    assert whole.startswith("lead\n")
    assert "first" in whole
    assert "<summary>second</summary>" in whole
    assert whole.endswith("end\n")
    assert "<summary>first</summary>" in less
    assert "_Left out, since a comment has a limited size: second._" in less
    assert less.endswith("end\n")


def test_a_first_screen_that_is_too_long_is_cut_between_lines():
    text = assemble("one\n" * 500, [Detail("title", "body")], "end\n", 400)

    assert re.fullmatch(r"(one\n){50,}\n_The rest is left out, since a comment has a limited size._\n", text)


@given(st.lists(st.text("äx|\n ", max_size=300), max_size=5), st.text("ä☃x\n", max_size=2000))
def test_the_limit_holds_always(bodies, lead):
    text = assemble(lead, [Detail("title", body) for body in bodies], "end", 400)

    assert len(text.encode()) <= 400
