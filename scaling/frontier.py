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
from digits.storage import write_bytes, write_text
from scaling import records
from scaling.experiments import Measured, experiments, measured
from scaling.picture import Dot, draw
from scaling.records import Description, Record


@dataclasses.dataclass(frozen=True)
class Point:
    """Experiments that differ in their seed alone. Accuracies are shares."""

    names: tuple[str, ...]
    parameters: int
    network: str
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
    pattern = re.compile(rf"sweep-{re.escape(name)}-(\d+)(?:-seed\d+)?")
    kept: dict[str, Point] = {}
    found = {label: commit for label, commit in experiments().items() if pattern.fullmatch(label)}
    for point in points(found):
        for label in point.names:
            match = pattern.fullmatch(label)
            assert match
            kept[match[1]] = point
    folder = records.folder(name)
    text = f"{table(trials, kept, description)}\n\n{summary(trials, kept)}\n"
    write_text(folder / "frontier.md", text)
    print(text)
    finished = [(record["parameters"] or 0, record["validation_accuracy"] or 0.0) for record in trials if done(record)]
    if finished or kept:
        dots = [dot(point) for point in {point.names: point for point in kept.values()}.values()]
        write_bytes(folder / "frontier.png", draw(f"Sweep {name}: errors against parameters", dots, finished))
        print(f"{folder / 'frontier.md'}, {folder / 'frontier.png'}")
    return folder


def dot(point: Point) -> Dot:
    """What a picture shows of a point."""
    return Dot(point.parameters, point.mean, min(point.test), max(point.test))


def done(record: Record) -> bool:
    """Whether a trial was trained to its end, so that it can be compared."""
    return record["state"] == "finished"


def points(found: Mapping[str, str]) -> list[Point]:
    """Experiments as points, from few parameters to many; those that have not been evaluated are left out.

    Args:
        found: commit of each experiment by its name.
    """
    groups: dict[tuple[ModelParams, Any], list[tuple[str, Measured]]] = {}
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
            tuple(one.test_accuracy for _, one in group),
        )
        for (model, _), group in groups.items()
    ]
    return sorted(made, key=lambda point: (point.parameters, point.mean))


def pareto(trials: Iterable[Record]) -> list[Record]:
    """Finished trials that no other one with as few parameters beats, from few parameters to many."""
    order = sorted(
        filter(done, trials),
        key=lambda record: (record["parameters"] or 0, -(record["validation_accuracy"] or 0), record["trial"]),
    )
    best, found = -1.0, []
    for record in order:
        accuracy = record["validation_accuracy"] or 0.0
        if accuracy > best:
            best = accuracy
            found.append(record)
    return found


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
    shown = {record["trial"]: record for record in [*frontier, *(r for r in trials if r["trial"] in kept and done(r))]}
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
