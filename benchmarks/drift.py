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
    calm = [[f"{size}", *shares(p_values(lambda rest, n: clean(rest[:n]), size), 0.05)] for size in SIZES]
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
            ("half of class 0 missing", without(data["clean"], generator), 1000),
        )
    ]
    body = "\n\n".join(
        [
            "Share of clean windows with p at most 0.05:",
            table(["images", *TESTS], calm),
            "Share of shifted windows of 100 images with p at most 0.001:",
            table(["shift", "accuracy under it", *TESTS], seen),
            "Share of windows with p at most 0.05 where a part is shifted:",
            table(["shift", "images", *TESTS], hard),
            f"{count:,} windows each: {len(references)} times, {REFERENCE:,} of the 10,000 test images drawn as "
            f"reference, and {WINDOWS} windows from the others, each drawn anew.",
        ]
    )
    publish("drift", f"python -m benchmarks.drift --references {len(references)}", body, "numpy", "scipy")


def windows(
    reference: Reference, rest: np.ndarray, draw: Draw, size: int, generator: np.random.Generator
) -> np.ndarray:
    """P-values by `TESTS` of some windows against one reference, (WINDOWS, 5)."""
    rows = []
    for _ in range(WINDOWS):
        window = draw(generator.permutation(rest), size)
        result = joined(reference, window.statistics, window.probabilities, RANK)
        predicted = np.bincount(window.probabilities.argmax(1), minlength=CLASSES)
        labels = label_shift(reference.predicted, predicted)
        rows.append([*(part.p_value for part in result.parts), result.p_value, labels.p_value])
    return np.array(rows)


def mixed(data: dict[str, Scored], name: str, share: float) -> Draw:
    """Clean windows with a share of shifted images."""
    return lambda rest, n: data["clean"].take(rest[:n]).replaced(round(share * n), data[name].take(rest[:n]))


def without(clean: Scored, generator: np.random.Generator) -> Draw:
    """Windows that lack half of class 0."""

    def draw(rest: np.ndarray, n: int) -> Scored:
        kept = (clean.labels[rest] != 0) | (generator.random(len(rest)) < 0.5)
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
