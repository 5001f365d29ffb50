"""Detection by number of images, as in table 1a of Rabanser, Günnemann & Lipton 2019, "Failing Loudly".

python -m benchmarks.drift_sizes [--references 40] [--fashion data/raw/FashionMNIST]
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.drift import TESTS, WINDOWS, Draw, lacking, mixed, windows
from benchmarks.drift_data import trials
from benchmarks.machine import publish, table
from digits.storage import read_arrays
from monitoring import kolmogorov_smirnov
from stages.preprocess import TRAIN

SIZES = (10, 20, 50, 100, 200, 500, 1000)
PARTS = (0.1, 0.5, 1.0)
COMPONENTS = 32
# Methods of the paper that monitoring has no use for: computed here for the comparison.
PIXELS, PRINCIPAL = "pixels", f"{COMPONENTS} principal components"
# Share of windows found by SIZES, in the paper's words; beside which row of ours, where there is one.
PAPER = {
    "BBSDs + KS": ("softmax outputs", (0.19, 0.28, 0.47, 0.47, 0.51, 0.65, 0.70)),
    "PCA + KS": (PRINCIPAL, (0.11, 0.15, 0.30, 0.36, 0.41, 0.46, 0.54)),
    "no reduction + KS": (PIXELS, (0.03, 0.15, 0.26, 0.36, 0.41, 0.47, 0.54)),
    "BBSDh + chi-squared": ("predicted labels", (0.03, 0.07, 0.12, 0.22, 0.22, 0.40, 0.46)),
    "UAE + KS": (None, (0.12, 0.16, 0.27, 0.33, 0.41, 0.49, 0.56)),
    "classifier + binomial": (None, (0.01, 0.03, 0.11, 0.21, 0.28, 0.42, 0.51)),
    "UAE + MMD": (None, (0.20, 0.27, 0.40, 0.43, 0.45, 0.53, 0.61)),
}


def main() -> None:
    """Measure, and keep the tables."""
    data, generator, references = trials(__doc__, references=40, seed=1)
    clean = data["clean"]
    (images,) = read_arrays(TRAIN, "images")
    axes = principal(images[:10_000])
    known = [_Known(clean.images[np.setdiff1d(np.arange(len(clean.labels)), rest)], axes) for _, rest in references]
    shifts: dict[str, Draw] = {
        f"{part:.0%} {name}": mixed(data, name, part) for name in data if name != "clean" for part in PARTS
    }
    shifts |= {f"{part:.0%} of class 0 missing": lacking(clean, part, generator) for part in PARTS}
    detected, others = [], []
    for draw in shifts.values():
        for size in SIZES:
            ours = [windows(*one, draw, size, generator) for one in references]
            detected.append((np.concatenate(ours) <= 0.05).mean(0))
            once = [
                before.p_values(draw(generator.permutation(rest), size).images)
                for (_, rest), before in zip(references, known, strict=True)
            ]
            others.append((np.array(once) <= 0.05).mean(0))
    shares = np.concatenate([detected, others], axis=1).reshape(len(shifts), len(SIZES), -1)
    joint = TESTS.index("joint")
    rows = [[name, *cells(each[:, joint])] for name, each in zip(shifts, shares, strict=True)]
    means = dict(zip((*TESTS, PIXELS, PRINCIPAL), shares.mean(0).T, strict=True))
    header = [f"{size}" for size in SIZES]
    body = (
        f"{table(['method, mean of all shifts', *header], beside(means))}\n\n"
        f"Share of windows with p at most 0.05, by number of images. The paper's means are over other shifts, on MNIST "
        f"and CIFAR-10: they show the form of the curves, not a contest. Where it has no row, the method is ours "
        f"alone; where we have none, it was not computed here. Pixels and components are compared as the outputs are, "
        f"with Bonferroni; the components are those of 10,000 training images.\n\n"
        f"{table(['share of images and shift, joint test', *header], rows)}\n\n"
        f"{WINDOWS * len(references)} windows each, from {len(references)} references of 5,000 images; of pixels and "
        f"components, one from each reference."
    )
    command = f"python -m benchmarks.drift_sizes --references {len(references)}"
    publish("drift_sizes", command, body, "numpy", "scipy")


class _Known:
    """A reference's pixels and principal components, (784, 256) counts and (COMPONENTS, M), each row ascending."""

    def __init__(self, images: np.ndarray, axes: np.ndarray) -> None:
        self.size, self.axes = len(images), axes
        self.pixels = distribution(images)
        self.components = np.sort(along(images, axes).T, axis=1)

    def p_values(self, images: np.ndarray) -> tuple[float, float]:
        """Of Kolmogorov-Smirnov on pixels and on components, each corrected for their number."""
        pixels = np.abs(distribution(images) - self.pixels).max(1)
        components = kolmogorov_smirnov.distances(self.components, along(images, self.axes).T).statistics
        return self._smallest(pixels, len(images)), self._smallest(components, len(images))

    def _smallest(self, distances: np.ndarray, count: int) -> float:
        (p_value,) = kolmogorov_smirnov.p_values(distances.max(keepdims=True), self.size, count)
        return float(min(1.0, len(distances) * p_value))


def principal(images: np.ndarray) -> np.ndarray:
    """Directions along which images vary most, (784, COMPONENTS)."""
    pixels = images.reshape(len(images), -1).astype(np.float64)
    return np.asarray(np.linalg.eigh(np.cov(pixels.T))[1][:, : -COMPONENTS - 1 : -1])


def along(images: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """How far images go in each direction, (N, COMPONENTS)."""
    return np.asarray(images.reshape(len(images), -1).astype(np.float64) @ axes)


def distribution(images: np.ndarray) -> np.ndarray:
    """Distribution function of each pixel at each value that it can have, (784, 256): exact, ties and all."""
    pixels = images.reshape(len(images), -1)
    places = pixels + 256 * np.arange(pixels.shape[1])
    counts = np.bincount(places.ravel(), minlength=256 * pixels.shape[1]).reshape(-1, 256)
    return np.asarray(counts.cumsum(1) / len(images))


def beside(means: dict[str, np.ndarray]) -> list[list[str]]:
    """Rows of the table of methods: ours and, under each, the paper's counterpart; then what only one of both has."""
    rows = []
    for name, (ours, shares) in PAPER.items():
        rows += [[f"**{ours}**", *cells(means[ours])]] if ours else []
        rows.append([f"paper: {name}", *cells(shares)])
    alone = [name for name in means if name not in {ours for ours, _ in PAPER.values()}]
    return rows + [[f"**{name}**", *cells(means[name])] for name in alone]


def cells(values: Sequence[float] | np.ndarray) -> list[str]:
    """Two decimals."""
    return [f"{value:.2f}" for value in values]


if __name__ == "__main__":
    main()
