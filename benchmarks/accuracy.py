"""Test accuracy over many seeds, with the validation images held out and with them trained on.

python -m benchmarks.accuracy [--seeds 20] [--choice default]
"""

import argparse
import dataclasses
import statistics

import numpy as np
import torch

from benchmarks.choices import CHOICES, params
from benchmarks.machine import publish, table
from digits import training
from digits.architecture import ModelParams
from digits.dataset import Labelled, describe, labelled
from digits.recipe import TrainParams, pin_cpu
from digits.storage import read_arrays
from stages.preprocess import TEST, TRAIN, VALIDATION


def main() -> None:
    """Train with each seed and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--choice", choices=CHOICES, default="default")
    arguments = parser.parse_args()
    model, train = params(CHOICES[arguments.choice])
    pin_cpu(train)
    torch.set_num_threads(train.threads)
    data = {path.stem: labelled(read_arrays(path, "images", "labels"), str(path)) for path in (TRAIN, VALIDATION, TEST)}
    everything = Labelled(*(np.concatenate(pair) for pair in zip(data["train"], data["validation"], strict=True)))
    rows = []
    for images in (data["train"], everything):
        scores = [accuracy(model, train, seed, images, data["test"]) for seed in range(arguments.seeds)]
        rows.append([f"{len(images.labels):,}", *spread(scores), str(len(scores))])
    header = ["training images", "mean test accuracy", "standard deviation", "lowest", "highest", "seeds"]
    command = f"python -m benchmarks.accuracy --seeds {arguments.seeds} --choice {arguments.choice}"
    body = table(header, rows)
    publish(f"accuracy_{arguments.choice}", command, body, "torch", "numpy")


def accuracy(model: ModelParams, train: TrainParams, seed: int, images: Labelled, test: Labelled) -> float:
    """Test accuracy in percent after training from `seed`."""
    recipe = dataclasses.replace(train, seed=seed, validations=1)
    pixels = describe(images)
    classifier = training.build(
        model, recipe, torch.from_numpy(images.images), pixels["pixel_mean"], pixels["pixel_std"]
    )
    for _ in training.fit(classifier, images, images.take(np.arange(1000)), recipe):
        pass
    result = 100 * training.accuracy(classifier, torch.from_numpy(test.images), torch.from_numpy(test.labels))
    print(f"{len(images.labels)} images, seed {seed}: {result:.2f} %", flush=True)
    return result


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
