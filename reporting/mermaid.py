"""Curves as a Mermaid chart, which GitHub draws itself: no picture has to be put anywhere.

Only numbers and words of ours go into a chart, so that there is nothing to escape.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

Curve = Sequence[tuple[float, float]]  # step, value

POINTS = 60  # more than that no screen tells apart
# Orange and blue, by which both kinds of colour-blindness and both of GitHub's themes tell them apart.
COLOURS = {"base": "#e36209", "head": "#0969da"}
KEYS = {"base": "🟧", "head": "🟦"}


def chart(title: str, label: str, curves: Mapping[str, Curve], start: float = 0.0) -> str | None:
    """One line a curve, or None where there is nothing to draw.

    Mermaid spreads a line's points evenly, so all curves are read off at the same places: steps, or shares of the
    training where the curves have different lengths.

    Args:
        title: above the chart.
        label: of the vertical axis.
        curves: by "base" and "head".
        start: share of the training, 0 to 1, from which on to draw.
    """
    usable = {name: clean(curve) for name, curve in curves.items()}
    usable = {name: curve for name, curve in usable.items() if len(curve) > 1}
    if not usable:
        return None
    ends = {float(curve[-1, 0]) for curve in usable.values()}
    unit, scale = ("step", ends.pop()) if len(ends) == 1 else ("training done, %", 100.0)
    shares = {name: curve[:, 0] / curve[-1, 0] for name, curve in usable.items()}
    grid = np.linspace(max(start, *(share[0] for share in shares.values())), 1, POINTS)
    lines = {name: np.interp(grid, shares[name], curve[:, 1]) for name, curve in usable.items()}
    low, high = bounds(np.concatenate(list(lines.values())))
    palette = ", ".join(COLOURS[name] for name in lines)
    head = [
        "```mermaid",
        f'%%{{init: {{"xyChart": {{"width": 900, "height": 360}}, "themeVariables": {{"xyChart": '
        f'{{"plotColorPalette": "{palette}"}}}}}}}}%%',
        "xychart-beta",
        f'  title "{title}"',
        f'  x-axis "{unit}" {grid[0] * scale:.0f} --> {scale:.0f}',
        f'  y-axis "{label}" {decimal(low)} --> {decimal(high)}',
    ]
    return "\n".join([*head, *(f"  line [{', '.join(map(decimal, line))}]" for line in lines.values()), "```"])


def legend(curves: Mapping[str, Curve]) -> str:
    """What the colours mean: the charts themselves have no room for it."""
    return ", ".join(f"{KEYS[name]} {name}" for name, curve in curves.items() if len(clean(curve)) > 1)


def decimal(value: float) -> str:
    """A number to six significant digits and without an exponent, which Mermaid's grammar does not know."""
    return np.format_float_positional(value, precision=6, unique=False, fractional=False, trim="-")


def clean(curve: Curve) -> np.ndarray:
    """Points (N, 2) in order of their steps, without those that can't be drawn."""
    points = np.array([point for point in sorted(curve) if all(map(math.isfinite, point)) and point[0] > 0])
    return points.reshape(-1, 2)


def bounds(values: np.ndarray) -> tuple[float, float]:
    """Round numbers just below and above all values, for the axis."""
    low, high = float(values.min()), float(values.max())
    step = 10.0 ** math.floor(math.log10((high - low) or abs(high) or 1.0)) / 5
    return math.floor(low / step) * step, math.ceil(high / step + 1e-9) * step
