"""One epoch of ours against one epoch of pytorch/examples' MNIST, in turns, each in a process of its own.

python -m benchmarks.speed [--rounds 3]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.choices import CHOICES, params
from benchmarks.machine import publish, table
from digits import training
from digits.dataset import labelled
from digits.model import parameter_count
from digits.recipe import pin_cpu
from digits.storage import read_arrays, read_json
from stages.preprocess import STATISTICS, TRAIN, VALIDATION

EXAMPLE = "pytorch/examples"


class ExampleNet(nn.Module):
    """The network of pytorch/examples' mnist, written from its description: 1,199,882 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (N, 10) of normalised images (N, 1, 28, 28)."""
        features = functional.max_pool2d(functional.relu(self.conv2(functional.relu(self.conv1(images)))), 2)
        hidden = functional.relu(self.fc1(torch.flatten(self.dropout1(features), 1)))
        return functional.log_softmax(self.fc2(self.dropout2(hidden)), dim=1)


def main() -> None:
    """Measure in turns, or (with --measure) one epoch in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=[EXAMPLE, *CHOICES])
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(example_epoch() if arguments.measure == EXAMPLE else our_epoch(arguments.measure)))
        return
    names = [EXAMPLE, "default", "fast", "fast-bfloat16"]
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name, results in measured.items():
            command = [sys.executable, "-m", "benchmarks.speed", "--measure", name]
            results.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
            print(name, results[-1], flush=True)
    rows = []
    for name, results in measured.items():
        seconds = [result["seconds"] for result in results]
        ratios = [base["seconds"] / own for base, own in zip(measured[EXAMPLE], seconds, strict=True)]
        rows.append(
            [
                name,
                f"{results[0]['parameters']:,}",
                f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
                f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})",
            ]
        )
    header = ["choice", "parameters", "seconds an epoch, median (range)", "times quicker, median of rounds (range)"]
    body = f"{table(header, rows)}\n\n{arguments.rounds} rounds in turns, 2 threads, 55,000 images an epoch."
    publish("speed", f"python -m benchmarks.speed --rounds {arguments.rounds}", body, "torch", "torchvision")


def example_epoch() -> dict[str, float]:
    """Seconds of the example's epoch: DataLoader with a transform for each image, batch 64, Adadelta."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    train = labelled(read_arrays(TRAIN, "images", "labels"), str(TRAIN))

    class Images(Dataset[tuple[torch.Tensor, int]]):
        """What torchvision's MNIST does for each image."""

        def __len__(self) -> int:
            return len(train.labels)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return transform(Image.fromarray(train.images[index])), int(train.labels[index])

    torch.set_num_threads(2)
    torch.manual_seed(1)
    model = ExampleNet()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    model.train()
    started = time.perf_counter()
    for images, labels in DataLoader(Images(), batch_size=64):
        optimizer.zero_grad()
        loss = functional.nll_loss(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {"seconds": time.perf_counter() - started, "parameters": parameter_count(model)}


def our_epoch(choice: str) -> dict[str, float]:
    """Seconds of our epoch, with augmentation and the measurements of validation accuracy on the way."""
    model_params, recipe = params(CHOICES[choice])
    pin_cpu(recipe)
    torch.set_num_threads(recipe.threads)
    train = labelled(read_arrays(TRAIN, "images", "labels"), str(TRAIN))
    validation = labelled(read_arrays(VALIDATION, "images", "labels"), str(VALIDATION))
    pixels = read_json(STATISTICS)["train"]
    model = training.build(
        model_params, recipe, torch.from_numpy(train.images), pixels["pixel_mean"], pixels["pixel_std"]
    )
    started = time.perf_counter()
    records = list(training.fit(model, train, validation, recipe))
    seconds = time.perf_counter() - started
    assert np.isfinite(records[-1].loss)
    return {"seconds": seconds, "parameters": parameter_count(model)}


if __name__ == "__main__":
    main()
