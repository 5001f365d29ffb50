"""One epoch of ours against one epoch of pytorch/examples' MNIST, in turns, each in a process of its own.

python -m benchmarks.speed [--rounds 3]
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import yaml
from torch import nn
from torch.nn import functional

from benchmarks.choices import CHOICES, overridden
from benchmarks.machine import publish, table
from benchmarks.pipeline import clone
from digits import weights
from digits.dataset import labelled
from digits.model import parameter_count
from digits.storage import read_arrays, read_json
from stages.preprocess import TRAIN

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
    """Seconds of the pipeline's own epoch: the stage itself, with DVCLive, augmentation and validation on the way."""
    with tempfile.TemporaryDirectory() as folder:
        project = clone(Path(folder) / "project")
        shutil.copytree(TRAIN.parent, project / TRAIN.parent)
        path = project / "params.yaml"
        path.write_text(yaml.safe_dump(overridden(CHOICES[choice], path)))
        subprocess.run([sys.executable, "-m", "stages.train"], cwd=project, check=True, stdout=sys.stderr)
        model, _ = weights.load(project / "models/model.safetensors")
        return {"seconds": read_json(project / "timings/train.json")["seconds"], "parameters": parameter_count(model)}


if __name__ == "__main__":
    main()
