"""The picture of accuracy against parameters, by Vega-Lite."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import vl_convert

SCALE = 2  # pixels a point, so that it is sharp on any screen

_TRIED, _FRONTIER, _TESTED = "trials (validation images)", "their frontier", "mean of the seeds (test images)"
_COLOURS = {_TRIED: "#b4bcc6", _FRONTIER: "#66727f", _TESTED: "#1f5fa8"}
_LINE = "#8fb4dd"
_LEAST = 0.005  # percent, for a logarithm needs something: where all images were right
_STEPS = ((1, 2, 5), (1, 2, 3, 5, 7), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9))  # of the axes, within a power of ten


class Dot(NamedTuple):
    """One network on the test images; accuracies, over its seeds, are shares."""

    parameters: int
    mean: float
    lowest: float
    highest: float


def draw(title: str, dots: Sequence[Dot], trials: Sequence[tuple[int, float]] = ()) -> bytes:
    """PNG of what `specification` describes."""
    return bytes(vl_convert.vegalite_to_png(specification(title, dots, trials), scale=SCALE))


def specification(title: str, dots: Sequence[Dot], trials: Sequence[tuple[int, float]] = ()) -> dict[str, Any]:
    """Vega-Lite: errors in percent over parameters, both logarithmic, with the range over the seeds.

    Args:
        title: above the picture.
        dots: networks on the test images. Without trials a line joins those that no smaller one beats.
        trials: number of parameters and validation accuracy of each. A line steps along their frontier.
    """
    tried = [{"parameters": count, "error": _error(share)} for count, share in trials]
    tested = _tested(dots, among_trials=bool(tried))
    numbers = [row["parameters"] for row in [*tested, *tried]]
    errors = [row[key] for row in [*tested, *tried] for key in ("error", "low", "high") if key in row]
    x: dict[str, Any] = {
        "field": "parameters",
        "type": "quantitative",
        "title": "parameters",
        **_axis(min(numbers) / (1.6 if tried else 1.25), max(numbers) * (1.2 if tried else 1.45), ",d"),
    }
    y: dict[str, Any] = {
        "type": "quantitative",
        "title": "errors (%)" if tried else "errors on the test images (%)",
        **_axis(min(errors) / (1.3 if tried else 1.18), max(errors) * 1.15, ".3~g"),
    }

    def layer(rows: Sequence[dict[str, Any]], mark: dict[str, Any], colour: str = "", **more: Any) -> dict[str, Any]:
        coloured = {"color": _colour(colour)} if colour and tried else {}
        encoding = {"x": x, "y": {**y, "field": "error"}, **coloured, **more}
        return {"data": {"values": list(rows)}, "mark": mark, "encoding": encoding}

    blue = _COLOURS[_TESTED]
    layers = []
    if tried:
        layers += [
            layer(tried, {"type": "point", "filled": True, "size": 28, "opacity": 0.8}, _TRIED),
            layer(
                _best(tried),
                {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5, "point": {"size": 32}},
                _FRONTIER,
            ),
        ]
    else:
        layers.append(layer(_best(tested), {"type": "line", "color": _LINE}))
    layers += [
        layer(tested, {"type": "rule", "color": blue}, y={**y, "field": "low"}, y2={"field": "high"}),
        layer(tested, {"type": "point", "filled": True, "size": 60, "color": blue, "opacity": 1}, _TESTED),
    ]
    places = {"right": {"align": "left", "dx": 8, "dy": -8}, "left": {"align": "right", "dx": -8, "dy": 14}}
    for place, offset in places.items():
        rows = [row for row in tested if row["place"] == place]
        layers.append(layer(rows, {"type": "text", "fontSize": 12, **offset}, text={"field": "label"}))
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": {"text": title, "fontSize": 15},
        "width": 600,
        "height": 360,
        "layer": [layer for layer in layers if layer["data"]["values"]],
        "config": {"axis": {"labelFontSize": 12, "titleFontSize": 13}, "view": {"stroke": None}},
    }


def _tested(dots: Sequence[Dot], among_trials: bool) -> list[dict[str, Any]]:
    """Of those that are close together, the best one has a label, on the left; so have all where trials lie right."""
    rows = []
    for dot in dots:
        near = [other for other in dots if 1 / 1.2 < other.parameters / dot.parameters < 1.2]
        rows.append(
            {
                "parameters": dot.parameters,
                "error": _error(dot.mean),
                "low": _error(dot.highest),
                "high": _error(dot.lowest),
                "label": f"{dot.mean:.2%}".replace("%", " %") if dot == max(near, key=lambda other: other.mean) else "",
                "place": "left" if among_trials or len(near) > 1 else "right",
            }
        )
    return rows


def _best(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that none with as few parameters beats, from few to many."""
    best, found = float("inf"), []
    for row in sorted(rows, key=lambda row: (row["parameters"], row["error"])):
        if row["error"] < best:
            best = row["error"]
            found.append(row)
    return found


def _error(accuracy: float) -> float:
    """In percent."""
    return max(100 * (1 - accuracy), _LEAST)


def _axis(low: float, high: float, form: str) -> dict[str, Any]:
    """A logarithmic scale with some round numbers on its axis."""
    ticks: list[float] = []
    for steps in _STEPS:
        ticks = [step * 10**power for power in range(-3, 10) for step in steps if low <= step * 10**power <= high]
        if len(ticks) >= 5:
            break
    return {
        "scale": {"type": "log", "domain": [low, high], "nice": False},
        "axis": {"values": ticks, "format": form},
    }


def _colour(name: str) -> dict[str, Any]:
    """One entry of a legend that has all three."""
    legend = {"title": None, "orient": "bottom", "labelFontSize": 12, "symbolType": "circle", "symbolOpacity": 1}
    return {
        "datum": name,
        "type": "nominal",
        "scale": {"domain": list(_COLOURS), "range": list(_COLOURS.values())},
        "legend": legend,
    }
