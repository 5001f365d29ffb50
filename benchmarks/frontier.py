"""The frontier of accuracy against parameters, as DVC experiments: run what is not there yet, then table and picture.

python -m benchmarks.frontier [--seeds 5]      `dvc exp show` lists the experiments afterwards
"""

import argparse
import statistics

from benchmarks.choices import CHOICES, FRONTIER, values
from benchmarks.machine import RESULTS, publish, table
from scaling import settings
from scaling.frontier import Point, dot, points
from scaling.keep import ensure
from scaling.picture import draw


def main() -> None:
    """Run experiments one after the other, and publish what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    found, base = {}, settings.base()
    for name in FRONTIER:
        for seed in range(seeds):
            label = f"frontier-{name}-{seed}"
            found[label] = ensure(label, base, values(CHOICES[name]) | {"train.seed": seed})
            print(label, flush=True)
    networks = points(found)
    header = ["parameters", "network", "test accuracy, mean ± standard deviation", "lowest"]
    body = f"{table(header, [row(point) for point in networks])}\n\n"
    body += f"{seeds} seeds each, one epoch, 55,000 training images."
    publish("frontier", f"python -m benchmarks.frontier --seeds {seeds}", body, "torch", "dvc")
    title = "More parameters, fewer errors: one epoch on MNIST"
    (RESULTS / "frontier.png").write_bytes(draw(title, [dot(point) for point in networks]))


def row(point: Point) -> list[str]:
    """One network's figures over its seeds, in percent."""
    scores = [100 * score for score in point.test]
    deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return [
        f"{point.parameters:,}",
        point.network,
        f"{statistics.mean(scores):.2f} ± {deviation:.2f}",
        f"{min(scores):.2f}",
    ]


if __name__ == "__main__":
    main()
