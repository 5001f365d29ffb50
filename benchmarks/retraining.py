"""What retraining on labelled production images gives under a drift, and what it costs on images as before.

python -m benchmarks.retraining [--seeds 5] [--repeats 10 ...]

Production images are validation images, rotated by 30 degrees, for nothing may train on test images: those are asked
about as they are, and rotated in the same way.
"""

import argparse
import dataclasses
import statistics
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.machine import publish, table
from digits import production, training
from digits.architecture import ModelParams
from digits.dataset import Labelled, PreprocessParams, describe, labelled
from digits.params import load
from digits.recipe import TrainParams, pin_cpu
from digits.storage import read_arrays
from monitoring.shifts import rotated
from stages.preprocess import TEST, TRAIN, VALIDATION

COUNTS = (100, 500, 2000)
DEGREES = 30


def main() -> None:
    """Train with each seed, number of production images and weight of theirs, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeats", type=int, nargs="+", help="default: preprocess.production_repeat")
    options = parser.parse_args()
    repeats = options.repeats or [load(PreprocessParams, "preprocess").production_repeat]
    trainer = Trainer(load(ModelParams, "model"), load(TrainParams, "train"))
    pin_cpu(trainer.train)
    torch.set_num_threads(trainer.train.threads)
    before = [trainer.accuracies(seed, 0, 0) for seed in range(options.seeds)]
    rows = []
    for count in COUNTS:
        for repeat in repeats:
            after = [trainer.accuracies(seed, count, repeat) for seed in range(options.seeds)]
            cells = [mean(scores, place) for place in (1, 0) for scores in (before, after)]
            gaps = [new[0] - old[0] for old, new in zip(before, after, strict=True)]
            gap = f"{statistics.mean(gaps):+.2f} ± {statistics.stdev(gaps):.2f}"
            rows.append([f"{count:,}", str(repeat), *cells, gap])
    header = [
        "labelled images",
        "each so many times",
        "rotated: before",
        "after",
        "as ever: before",
        "after",
        "difference",
    ]
    body = (
        f"{table(header, rows)}\n\nAccuracy in % on the 10,000 test images, rotated by {DEGREES} degrees and as they "
        f"are: mean of {options.seeds} seeds, the difference by seed, ± standard deviation. Labelled images are "
        f"rotated, too, and join the {len(trainer.images.labels):,} training images."
    )
    command = f"python -m benchmarks.retraining --seeds {options.seeds}"
    command += f" --repeats {' '.join(map(str, repeats))}" if options.repeats else ""
    publish("retraining", command, body, "torch", "numpy")


@dataclasses.dataclass
class Trainer:
    """Trains as the stages do, with production images beside the training images."""

    model: ModelParams
    train: TrainParams

    def __post_init__(self) -> None:
        self.images, self.validation, test = (
            labelled(read_arrays(path, "images", "labels"), str(path)) for path in (TRAIN, VALIDATION, TEST)
        )
        self.tests = test, turned(test)
        self.pixels = describe(self.images)

    def accuracies(self, seed: int, count: int, repeat: int) -> tuple[float, ...]:
        """Accuracy in percent on the test images as they are and rotated, after training from `seed`."""
        order = np.random.default_rng(seed).permutation(len(self.validation.labels))[:count]
        data = production.joined(self.images, turned(self.validation.take(order)), repeat)
        recipe = dataclasses.replace(self.train, seed=seed, validations=1)
        classifier = training.build(
            self.model, recipe, torch.from_numpy(data.images), self.pixels["pixel_mean"], self.pixels["pixel_std"]
        )
        for _ in training.fit(classifier, data, self.validation, recipe):
            pass
        found = tuple(
            100 * training.accuracy(classifier, torch.from_numpy(test.images), torch.from_numpy(test.labels))
            for test in self.tests
        )
        print(f"seed {seed}, {count} images {repeat} times: {', '.join(f'{one:.2f} %' for one in found)}", flush=True)
        return found


def turned(data: Labelled) -> Labelled:
    """The same images after a drift."""
    return Labelled(rotated(data.images, DEGREES), data.labels) if len(data.labels) else data


def mean(scores: Sequence[tuple[float, ...]], place: int) -> str:
    """Over the seeds."""
    return f"{statistics.mean(score[place] for score in scores):.2f}"


if __name__ == "__main__":
    main()
