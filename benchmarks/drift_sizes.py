"""Detection by number of images, as in table 1a of Rabanser, Günnemann & Lipton 2019, "Failing Loudly".

python -m benchmarks.drift_sizes [--references 40] [--fashion data/raw/FashionMNIST]
"""

import numpy as np

from benchmarks.drift import TESTS, Draw, mixed, windows
from benchmarks.drift_data import Scored, trials
from benchmarks.machine import publish, table

SIZES = (10, 20, 50, 100, 200, 500, 1000)
PARTS = (0.1, 0.5, 1.0)
# Black-box shift detection, softmax outputs with Kolmogorov-Smirnov: the paper's best method.
PAPER = (0.19, 0.28, 0.47, 0.47, 0.51, 0.65, 0.70)


def main() -> None:
    """Measure, and keep the table."""
    data, generator, references = trials(__doc__, references=40, seed=1)
    shifts: dict[str, Draw] = {
        f"{part:.0%} {name}": mixed(data, name, part) for name in data if name != "clean" for part in PARTS
    }
    shifts |= {f"{part:.0%} of class 0 missing": lacking(data["clean"], part, generator) for part in PARTS}
    detected = np.array(
        [
            [
                (np.concatenate([windows(*one, draw, size, generator) for one in references]) <= 0.05).mean(0)
                for size in SIZES
            ]
            for draw in shifts.values()
        ]
    )
    joint = TESTS.index("joint")
    rows = [[name, *cells(each[:, joint])] for name, each in zip(shifts, detected, strict=True)]
    means = [[f"**mean, {test}**", *cells(detected[:, :, place].mean(0))] for place, test in enumerate(TESTS)]
    header = ["share of images and shift", *(f"{size}" for size in SIZES)]
    body = (
        f"{table(header, [*rows, *means, ['paper: BBSDs, mean of its shifts', *cells(np.array(PAPER))]])}\n\n"
        f"Share of windows with p at most 0.05, by number of images; the rows of single shifts are the joint test's. "
        f"{5 * len(references)} windows each, from {len(references)} references of 5,000 images. The paper's "
        f"mean is over other shifts, on MNIST and CIFAR-10: it shows the form of the curve, not a contest."
    )
    publish("drift_sizes", f"python -m benchmarks.drift_sizes --references {len(references)}", body, "numpy", "scipy")


def lacking(clean: Scored, part: float, generator: np.random.Generator) -> Draw:
    """Windows without a part of class 0."""

    def draw(rest: np.ndarray, n: int) -> Scored:
        kept = (clean.labels[rest] != 0) | (generator.random(len(rest)) >= part)
        return clean.take(rest[kept][:n])

    return draw


def cells(values: np.ndarray) -> list[str]:
    """Two decimals."""
    return [f"{value:.2f}" for value in values]


if __name__ == "__main__":
    main()
