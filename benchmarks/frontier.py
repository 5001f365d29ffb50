"""The frontier of accuracy against parameters, as DVC experiments: queue, run, table, picture.

python -m benchmarks.frontier [--seeds 5]      `dvc exp show` lists the experiments afterwards
"""

import argparse
import json
import statistics
import subprocess
from typing import Any

import vl_convert

from benchmarks.choices import CHOICES, FRONTIER
from benchmarks.machine import RESULTS, publish, table

PREFIX = "frontier"


def main() -> None:
    """Run what is not there yet, then write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    done = experiments()
    for name in FRONTIER:
        missing = [seed for seed in range(seeds) if seed not in done.get(name, {})]
        for seed in missing:
            settings = [f"--set-param={setting}" for setting in (*CHOICES[name], f"train.seed={seed}")]
            label = f"{PREFIX}-{name}-{seed}"
            subprocess.run(["dvc", "exp", "run", "--queue", "--name", label, *settings, "evaluate"], check=True)
    subprocess.run(["dvc", "exp", "run", "--run-all", "--jobs", "1"], check=True)
    done = experiments()
    points = [point(name, [done[name][seed] for seed in range(seeds)]) for name in FRONTIER]
    points.sort(key=lambda item: item["parameters"])
    rows = [
        [
            f"{item['parameters']:,}",
            item["network"],
            f"{item['mean']:.2f} ± {item['deviation']:.2f}",
            f"{item['lowest']:.2f}",
        ]
        for item in points
    ]
    header = ["parameters", "network", "test accuracy, mean ± standard deviation", "lowest"]
    body = f"{table(header, rows)}\n\n{seeds} seeds each, one epoch, 55,000 training images."
    publish("frontier", f"python -m benchmarks.frontier --seeds {seeds}", body, "torch", "dvc")
    (RESULTS / "frontier.png").write_bytes(vl_convert.vegalite_to_png(picture(points), scale=2))


def experiments() -> dict[str, dict[int, dict[str, Any]]]:
    """Metrics and params of the frontier's finished experiments, by name and seed."""
    output = subprocess.run(["dvc", "exp", "show", "--json"], check=True, stdout=subprocess.PIPE).stdout
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for commit in json.loads(output):
        for experiment in commit["experiments"] or []:
            for revision in experiment["revs"]:
                prefix, _, rest = (revision.get("name") or "").partition("-")
                name, _, seed = rest.rpartition("-")
                data = revision.get("data") or {}
                if prefix == PREFIX and data.get("metrics"):
                    metrics = data["metrics"]["results/evaluate/metrics.json"]["data"]
                    params = data["params"]["params.yaml"]["data"]
                    found.setdefault(name, {})[int(seed)] = metrics | {"model": params["model"]}
    return found


def point(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One network's figures over its seeds."""
    scores = [100 * run["accuracy"] for run in runs]
    return {
        "name": name,
        "parameters": runs[0]["parameters"],
        "network": describe(runs[0]["model"]),
        "mean": statistics.mean(scores),
        "deviation": statistics.stdev(scores) if len(scores) > 1 else 0.0,
        "lowest": min(scores),
        "highest": max(scores),
    }


def describe(model: dict[str, Any]) -> str:
    """Such as "Conv5 16, pool 2, Conv5 40, pool 2"."""
    parts = []
    keys = ("channels", "kernels", "paddings", "pools")
    for channels, kernel, padding, pool in zip(*(model[key] for key in keys), strict=True):
        padded = f" (pad {padding})" if padding else ""
        parts.append(f"Conv{kernel} {channels}{padded}" + (f", pool {pool}" if pool > 1 else ""))
    return ", ".join(parts)


def picture(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Vega-Lite: errors in percent over parameters, both logarithmic, with the range over the seeds.

    The line joins the networks that no smaller one beats; of those that are close together, the best one has a label.
    """
    values = []
    best = 0.0
    for item in points:
        near = [other for other in points if 1 / 1.2 < other["parameters"] / item["parameters"] < 1.2]
        values.append(
            {
                "parameters": item["parameters"],
                "error": 100 - item["mean"],
                "low": 100 - item["highest"],
                "high": 100 - item["lowest"],
                "label": f"{item['mean']:.2f} %" if item == max(near, key=lambda other: other["mean"]) else "",
                "place": "left" if len(near) > 1 else "right",
                "frontier": item["mean"] > best,
            }
        )
        best = max(best, item["mean"])
    x = {
        "field": "parameters",
        "type": "quantitative",
        "scale": {"type": "log", "domain": [350, 36000], "nice": False},
        "title": "parameters",
        "axis": {"values": [500, 1000, 2000, 5000, 10000, 25000], "format": ",d"},
    }
    y: dict[str, Any] = {
        "type": "quantitative",
        "scale": {"type": "log", "domain": [0.45, 5], "nice": False},
        "title": "errors on the test images (%)",
        "axis": {"values": [0.5, 0.7, 1, 2, 3, 5]},
    }
    places: dict[str, dict[str, Any]] = {
        "right": {"align": "left", "dx": 8, "dy": -8},
        "left": {"align": "right", "dx": -8, "dy": 12},
    }
    blue = "#1f5fa8"
    labels: list[dict[str, Any]] = [
        {
            "transform": [{"filter": f"datum.place == '{place}'"}],
            "mark": {"type": "text", "fontSize": 12, **offset},
            "encoding": {"x": x, "y": {**y, "field": "error"}, "text": {"field": "label"}},
        }
        for place, offset in places.items()
    ]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": {"text": "More parameters, fewer errors: one epoch on MNIST", "fontSize": 15},
        "width": 600,
        "height": 360,
        "data": {"values": values},
        "layer": [
            {
                "transform": [{"filter": "datum.frontier"}],
                "mark": {"type": "line", "color": "#8fb4dd"},
                "encoding": {"x": x, "y": {**y, "field": "error"}},
            },
            {
                "mark": {"type": "rule", "color": blue},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "color": blue, "opacity": 1},
                "encoding": {"x": x, "y": {**y, "field": "error"}},
            },
            *labels,
        ],
        "config": {"axis": {"labelFontSize": 12, "titleFontSize": 13}, "view": {"stroke": None}},
    }


if __name__ == "__main__":
    main()
