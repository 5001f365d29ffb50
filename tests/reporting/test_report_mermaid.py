import math
import re

import pytest

from reporting import mermaid

CURVE = [(20 * (1 + index), 2 / (1 + index)) for index in range(50)]


def lines(chart):
    return [[float(y) for y in line.split(",")] for line in re.findall(r"^  line \[(.*)\]$", chart, re.MULTILINE)]


def test_two_curves_on_the_same_steps():
    chart = mermaid.chart("Training loss", "cross-entropy", {"base": CURVE, "head": [*CURVE[:-1], (1000, 1.0)]})
    base, head = lines(chart)

    assert chart.startswith("```mermaid\n%%{init: ")
    assert chart.endswith("\n```")
    assert "xychart-beta\n" in chart
    assert '  x-axis "step" 20 --> 1000\n' in chart
    assert '  y-axis "cross-entropy" 0 --> 2.2\n' in chart
    assert '"plotColorPalette": "#e36209, #0969da"' in chart
    assert len(base) == len(head) == mermaid.POINTS
    assert (base[0], base[-1], head[-1]) == (2, 0.04, 1)


def test_curves_of_other_lengths_are_drawn_by_share_of_the_training():
    chart = mermaid.chart("loss", "nats", {"base": CURVE, "head": CURVE[:10]})

    assert '  x-axis "training done, %" 10 --> 100\n' in chart
    assert [line[-1] for line in lines(chart)] == [0.04, 0.2]


def test_one_curve_keeps_its_colour():
    curves = {"base": [], "head": CURVE}
    chart = mermaid.chart("loss", "nats", curves)

    assert '"plotColorPalette": "#0969da"' in chart
    assert mermaid.legend(curves) == "🟦 head"
    assert mermaid.legend({"base": CURVE, "head": CURVE}) == "🟧 base, 🟦 head"


def test_the_later_part_alone():
    chart = mermaid.chart("loss", "nats", {"head": CURVE}, start=0.5)

    assert '"step" 500 --> 1000' in chart
    assert lines(chart)[0][0] == pytest.approx(0.08)


@pytest.mark.parametrize(
    "curve", [[], [(1, 0.5)], [(1, math.nan), (2, math.inf), (3, 1.0)], [(math.nan, 1.0), (0, 1.0)]]
)
def test_nothing_to_draw(curve):
    assert mermaid.chart("loss", "nats", {"base": curve, "head": []}) is None


@pytest.mark.parametrize("values", [(0.337, 0.371), (5, 5), (0, 0), (-3, 12000), (1e-9, 2e-9)])
def test_bounds_hold_all_values(values):
    low, high = mermaid.bounds(mermaid.np.array(values, dtype=float))

    assert low <= min(values)
    assert max(values) < high
    assert high - low <= 1.5 * (max(values) - min(values)) + 0.5 * (abs(max(values)) or 1)


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 1e5, 1e9])
def test_numbers_of_any_size_are_written_as_mermaid_s_grammar_knows_them(scale):
    text = mermaid.chart("t", "l", {"base": [(1, 3 * scale), (2, 2 * scale), (3, scale / 3)]})
    assert text is not None
    numbers = [number for line in re.findall(r"line \[(.*)\]", text) for number in line.split(", ")]
    numbers += re.search(r'y-axis "l" (\S+) --> (\S+)', text).groups()
    assert len(numbers) > 50
    assert [number for number in numbers if not re.fullmatch(r"[+-]?(\d+(\.\d+)?|\.\d+)", number)] == []
