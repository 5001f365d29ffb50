"""Accuracy against parameters: a table and a picture, of a sweep's trials and of the experiments that were kept.

python -m scaling.frontier --sweep=NAME      writes sweeps/NAME/frontier.md and frontier.png

Which trials are on the frontier is decided by accuracy on the validation images. That flatters them, the more the more
trials there were; so those that were kept show what they do on the test images, on which nothing was decided.
"""

import argparse
import dataclasses
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from digits.architecture import ModelParams
from digits.errors import PipelineError, run
from digits.params import parse
from digits.recipe import TrainParams
from digits.storage import write_bytes, write_text
from scaling import records
from scaling.experiments import Measured, experiments, measured
from scaling.picture import Dot, draw
from scaling.records import Description, Record
from scaling.selection import finished, pareto


@dataclasses.dataclass(frozen=True)
class Point:
    """Experiments that differ in their seed alone. Accuracies are shares."""

    names: tuple[str, ...]
    parameters: int
    network: str
    rate: float  # train.learning_rate
    test: tuple[float, ...]  # accuracy of each seed

    @property
    def mean(self) -> float:
        """Of the test accuracies."""
        return statistics.mean(self.test)


def main() -> None:
    """Write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", required=True, help="its name: the folder in sweeps/")
    write(parser.parse_args().sweep)


def write(name: str) -> Path:
    """Write table and picture of a sweep into its folder, print the table, and return the folder.

    Raises:
        RecordsError: there is no such sweep.
    """
    description, trials = records.description(name), records.read(name)
    kept = kept_points(name)
    folder = records.folder(name)
    text = f"{table(trials, kept, description)}\n\n{summary(trials, kept)}\n"
    write_text(folder / "frontier.md", text)
    print(text)
    dots = [dot(point) for point in {point.names: point for point in kept.values()}.values()]
    if dots or finished(trials):
        picture = draw(f"Sweep {name}: errors against parameters", dots, places(trials))
        write_bytes(folder / "frontier.png", picture)
        print(f"{folder / 'frontier.md'}, {folder / 'frontier.png'}")
    return folder


def kept_points(name: str) -> dict[str, Point]:
    """Points of a sweep's trials that were kept, by the number of the trial, from few parameters to many."""
    pattern = re.compile(rf"sweep-{re.escape(name)}-(\d+)(?:-seed\d+)?")
    found = {label: commit for label, commit in experiments().items() if pattern.fullmatch(label)}
    return {pattern.sub(r"\1", label): point for point in points(found) for label in point.names}


def places(trials: Iterable[Record]) -> list[tuple[int, float]]:
    """Parameters and validation accuracy of trials, for the picture."""
    return [(record["parameters"] or 0, record["validation_accuracy"] or 0.0) for record in finished(trials)]


def dot(point: Point) -> Dot:
    """What a picture shows of a point."""
    return Dot(point.parameters, point.mean, min(point.test), max(point.test))


def points(found: Mapping[str, str]) -> list[Point]:
    """Experiments as points, from few parameters to many; those that have not been evaluated are left out.

    Args:
        found: commit of each experiment by its name.
    """
    groups: dict[tuple[ModelParams, TrainParams], list[tuple[str, Measured]]] = {}
    for name, commit in found.items():
        try:
            one = measured(commit)
        except PipelineError:
            continue
        groups.setdefault((one.model, dataclasses.replace(one.train, seed=0)), []).append((name, one))
    made = [
        Point(
            tuple(name for name, _ in group),
            group[0][1].parameters,
            describe(model),
            train.learning_rate,
            tuple(one.test_accuracy for _, one in group),
        )
        for (model, train), group in groups.items()
    ]
    return sorted(made, key=lambda point: (point.parameters, point.mean))


def describe(model: ModelParams) -> str:
    """Such as "Conv5 16, pool 2, Conv5 40, pool 2"."""
    parts = []
    for channels, kernel, padding, pool in zip(model.channels, model.kernels, model.paddings, model.pools, strict=True):
        padded = f" (pad {padding})" if padding else ""
        parts.append(f"Conv{kernel} {channels}{padded}" + (f", pool {pool}" if pool > 1 else ""))
    return ", ".join(parts)


def table(trials: Sequence[Record], kept: Mapping[str, Point], description: Description) -> str:
    """The frontier's trials and the kept ones as a Markdown table.

    Args:
        trials: of a sweep.
        kept: points by the number of their trial.
        description: of the sweep.
    """
    frontier = pareto(trials)
    shown = {record["trial"]: record for record in finished(trials) if record in frontier or record["trial"] in kept}
    rows = [["parameters", "trial", "network and recipe", "validation accuracy", "test accuracy"], ["---"] * 5]
    for record in sorted(shown.values(), key=lambda record: (record["parameters"] or 0, record["trial"])):
        accuracy = f"{record['validation_accuracy']:.2%}"
        point = kept.get(record["trial"])
        rows.append(
            [
                f"{record['parameters']:,}",
                record["trial"],
                recipe(record, description),
                f"**{accuracy}**" if record in frontier else accuracy,
                tested(point.test) if point else "-",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def recipe(record: Record, description: Description) -> str:
    """The network in words, and what else the sweep varies."""
    varied = record["settings"]
    model = description["params"]["model"] | {
        key.removeprefix("model."): value for key, value in varied.items() if key.startswith("model.")
    }
    told = {f"model.{key}" for key in ("channels", "kernels", "paddings", "pools")}
    rest = [f"{key.partition('.')[2]} {_figure(value)}" for key, value in varied.items() if key not in told]
    return "; ".join([describe(parse(ModelParams, model, "model")), *([", ".join(rest)] if rest else [])])


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def tested(scores: Sequence[float]) -> str:
    """Mean of the seeds and their range."""
    if len(scores) == 1:
        return f"{scores[0]:.2%}"
    return f"{statistics.mean(scores):.2%} ({min(scores):.2%} to {max(scores):.2%}, {len(scores)} seeds)"


def summary(trials: Sequence[Record], kept: Mapping[str, Point]) -> str:
    """What the table is of."""
    ends = ("finished", "stopped", "failed")
    counts = ", ".join(f"{sum(record['state'] == end for record in trials)} {end}" for end in ends)
    return (
        f"{len(trials)} trials: {counts}. Bold: no trial with as few parameters has a better validation "
        f"accuracy. The test images were scored for the {len(kept)} that were kept."
    )


if __name__ == "__main__":
    run(main)
