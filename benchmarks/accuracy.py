"""Test accuracy over many seeds, with the validation images held out and with them trained on.

python -m benchmarks.accuracy [--seeds 20] [--choice default]
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import yaml

from benchmarks.choices import CHOICES, overridden
from benchmarks.machine import publish, table
from digits.dataset import Labelled, describe, labelled
from digits.storage import read_arrays, read_json, write_arrays, write_json, write_text
from scaling import warm
from stages.preprocess import STATISTICS, TRAIN, VALIDATION


def main() -> None:
    """Train with each seed and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--choice", choices=CHOICES, default="default")
    arguments = parser.parse_args()
    rows = []
    for everything in (False, True):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            warm.prepare(None, folder, "test")
            params = overridden(CHOICES[arguments.choice], folder / "params.yaml")
            write_text(folder / "params.yaml", yaml.safe_dump(params, sort_keys=False))
            images = pool(folder) if everything else len(training(folder).labels)
            scores = []
            for seed, score in enumerate(warm.scores(folder, range(arguments.seeds), "test")):
                if isinstance(score, str):
                    raise SystemExit(f"seed {seed}: {score}")
                print(f"{images} images, seed {seed}: {score:.2%}", flush=True)
                scores.append(100 * score)
        rows.append([f"{images:,}", *spread(scores), str(len(scores))])
    header = ["training images", "mean test accuracy", "standard deviation", "lowest", "highest", "seeds"]
    command = f"python -m benchmarks.accuracy --seeds {arguments.seeds} --choice {arguments.choice}"
    body = table(header, rows)
    publish(f"accuracy_{arguments.choice}", command, body, "torch", "numpy")


def training(folder: Path, path: Path = TRAIN) -> Labelled:
    """Images of a project in another folder."""
    return labelled(read_arrays(folder / path, "images", "labels"), str(path))


def pool(folder: Path) -> int:
    """Train on the validation images, too: the figures along the way mean nothing then. Returns how many there are."""
    pairs = zip(training(folder), training(folder, VALIDATION), strict=True)
    everything = Labelled(*(np.concatenate(pair) for pair in pairs))
    write_arrays(folder / TRAIN, **everything._asdict())
    write_json(folder / STATISTICS, read_json(folder / STATISTICS) | {"train": describe(everything)})
    return len(everything.labels)


def spread(scores: list[float]) -> list[str]:
    """Mean, standard deviation, lowest, highest."""
    return [
        f"{statistics.mean(scores):.3f} %",
        f"{statistics.stdev(scores):.3f}",
        f"{min(scores):.2f} %",
        f"{max(scores):.2f} %",
    ]


if __name__ == "__main__":
    main()
