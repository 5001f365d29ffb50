"""How often the drift detectors raise a false alarm, and how often they see a shift that is there.

python -m benchmarks.drift [--references 400] [--fashion data/raw/FashionMNIST]
"""

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.drift_data import REFERENCE, Scored, trials
from benchmarks.machine import publish, table
from digits.dataset import CLASSES
from digits.drift_reference import Reference
from digits.params import load
from monitoring import tail
from monitoring.data_drift import joined
from monitoring.label_shift import label_shift
from monitoring.settings import MonitoringParams

TESTS = ("softmax outputs", "image statistics", "tail count", "joint", "predicted labels")
SIZES = (50, 100, 200, 500, 1000)
WINDOWS = 5  # from each reference
RANK = load(MonitoringParams, "monitoring").tail_rank

# Makes a window of so many images out of the places that the reference has left, in random order.
Draw = Callable[[np.ndarray, int], Scored]


def main() -> None:
    """Measure, and keep the table."""
    data, generator, references = trials(__doc__, references=400, seed=0)
    count = len(references) * WINDOWS

    def p_values(draw: Draw, size: int) -> np.ndarray:
        return np.concatenate([windows(*reference, draw, size, generator) for reference in references])

    clean = data["clean"].take
    calm = [
        [f"{size}", *shares(p_values(lambda rest, n: clean(rest[:n]), size), 0.05), f"{step(size, 0.05):.4f}"]
        for size in SIZES
    ]
    seen = []
    for name, shifted in data.items():
        if name != "clean":
            found = p_values(lambda rest, n, shifted=shifted: shifted.take(rest[:n]), 100)  # type: ignore[misc]
            seen.append([name, accuracy(shifted), *shares(found, 0.001)])
    hard = [
        [name, f"{size}", *shares(p_values(draw, size), 0.05)]
        for name, draw, size in (
            ("5 % of the images are Fashion-MNIST's", mixed(data, "fashion", 0.05), 100),
            ("10 % of the images rotated by 30 degrees", mixed(data, "rotate30", 0.1), 500),
            ("half of class 0 missing", lacking(data["clean"], 0.5, generator), 1000),
        )
    ]
    body = "\n\n".join(
        [
            "Share of clean windows with p at most 0.05:",
            table(["images", *TESTS, "largest p of a tail count up to 0.05"], calm),
            "Images are counted, so the p-value of a tail count goes in steps, and its false alarms are as many as the "
            "last column says: none of its steps is nearer to 0.05 from below.",
            "Share of shifted windows of 100 images with p at most 0.001:",
            table(["shift", "accuracy under it", *TESTS], seen),
            "Share of windows with p at most 0.05 where a part is shifted:",
            table(["shift", "images", *TESTS], hard),
            f"{count:,} windows each: {len(references)} times, {REFERENCE:,} of the 10,000 test images drawn as "
            f"reference, and {WINDOWS} windows from the others, each drawn anew.",
        ]
    )
    command = f"python -m benchmarks.drift --references {len(references)}"
    publish("drift", command, body, "numpy", "scipy")


def windows(
    reference: Reference, rest: np.ndarray, draw: Draw, size: int, generator: np.random.Generator
) -> np.ndarray:
    """P-values by `TESTS` of some windows against one reference, (WINDOWS, 5)."""
    return np.array([judged(reference, draw(generator.permutation(rest), size)) for _ in range(WINDOWS)])


def judged(reference: Reference, window: Scored) -> list[float | None]:
    """P-values by `TESTS` of one window."""
    result = joined(reference, window.statistics, window.probabilities, RANK)
    labels = label_shift(reference.predicted, np.bincount(window.probabilities.argmax(1), minlength=CLASSES))
    return [*(part.p_value for part in result.parts), result.p_value, labels.p_value]


def step(size: int, level: float) -> float:
    """The largest p-value up to `level` that a tail count can have: how often it is at most `level`, exactly."""
    return max(p for n in range(size + 1) if (p := tail.p_value(n, size, REFERENCE, RANK)) <= level)


def mixed(data: dict[str, Scored], name: str, share: float) -> Draw:
    """Clean windows with a share of shifted images."""
    return lambda rest, n: data["clean"].take(rest[:n]).replaced(round(share * n), data[name].take(rest[:n]))


def lacking(clean: Scored, part: float, generator: np.random.Generator) -> Draw:
    """Windows without a part of class 0."""

    def draw(rest: np.ndarray, n: int) -> Scored:
        kept = (clean.labels[rest] != 0) | (generator.random(len(rest)) >= part)
        return clean.take(rest[kept][:n])

    return draw


def accuracy(shifted: Scored) -> str:
    """Share of the predictions that are right."""
    return f"{100 * (shifted.probabilities.argmax(1) == shifted.labels).mean():.1f} %"


def shares(p_values: np.ndarray, level: float) -> Sequence[str]:
    """Of windows at or below a level, by test."""
    return [f"{share:.3f}" for share in (p_values <= level).mean(0)]


if __name__ == "__main__":
    main()
