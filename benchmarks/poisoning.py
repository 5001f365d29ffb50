"""What the guards let through of wrong labels, and of right ones, when some senders lie or the model is wrong.

python -m benchmarks.poisoning [--seeds 5]
"""

import argparse
from typing import NamedTuple

import numpy as np

from benchmarks.machine import publish, table
from digits.dataset import CLASSES, labelled
from digits.onnx_model import OnnxModel
from digits.params import load
from digits.storage import read_arrays
from monitoring.labelled_images import Images
from monitoring.poisoning import judge, within_shares
from monitoring.settings import MonitoringParams
from monitoring.shifts import SHIFTS
from stages.evaluate import ONNX, TEST

EACH, FLOOD = 300, 5000  # labels of an honest sender, and of all the others
TRAFFIC = ("clean", "rotate30", "blur", "invert")


class Attack(NamedTuple):
    """Wrong labels from some senders."""

    labels: int
    sources: int
    clients: int
    wrong: float  # share of the labels
    agreed: bool  # all liars say the same wrong class of an image
    honest: int = 3  # senders of right labels, from an address each


ATTACKS = {
    "nobody, and there is one honest sender": Attack(0, 1, 1, 0, False, honest=1),
    "nobody": Attack(0, 1, 1, 0, False),
    "one sender": Attack(FLOOD, 1, 1, 1, False),
    "100 sources, one address": Attack(FLOOD, 100, 1, 1, False),
    "500 sources, 500 addresses": Attack(FLOOD, 500, 500, 1, False),
    "one sender, 20 % of its labels wrong": Attack(FLOOD, 1, 1, 0.2, False),
    "one sender, 5 % of its labels wrong": Attack(FLOOD, 1, 1, 0.05, False),
    "2 addresses, agreed": Attack(FLOOD, 2, 2, 1, True),
    "5 addresses, agreed": Attack(FLOOD, 5, 5, 1, True),
}


def main() -> None:
    """Measure, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    params = load(MonitoringParams, "monitoring").feedback
    model = OnnxModel(ONNX, threads=2)
    images, labels = labelled(read_arrays(TEST, "images", "labels"), str(TEST))
    rows = []
    for traffic in TRAFFIC:
        shifted = images if traffic == "clean" else SHIFTS[traffic](images, np.random.default_rng(0))
        probabilities = model.probabilities(shifted)
        for name, attack in ATTACKS.items():
            shares = []
            for seed in range(seeds):
                sent, wrong = log(shifted, labels, probabilities, attack, np.random.default_rng(seed))
                kept = judge(sent, params)[1]
                kept[kept] = within_shares(sent.take(kept), params)
                honest = np.arange(len(sent)) < attack.honest * EACH
                shares.append((wrong.sum(), (kept & wrong).sum(), (kept & honest).sum()))
            sums, bad, good = np.mean(shares, axis=0)
            rows.append([traffic, name, f"{sums:,.0f}", f"{bad:,.0f}", f"{good:,.0f} of {attack.honest * EACH}"])
            print(rows[-1], flush=True)
    header = ["traffic", "who sends wrong labels", "wrong labels", "of them taken", "labels of honest senders taken"]
    note = (
        f"Mean of {seeds} draws from the test images; three honest senders, where nothing else is said, "
        f"of {EACH} labels each, from an address each. The limits are those of params.yaml, monitoring.feedback."
    )
    body = f"{table(header, rows)}\n\n{note}"
    publish("poisoning", f"python -m benchmarks.poisoning --seeds {seeds}", body, "numpy")


def log(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, attack: Attack, generator: np.random.Generator
) -> tuple[Images, np.ndarray]:
    """Labels of honest senders, then of liars; and which of them are wrong, bool (N,)."""
    drawn = generator.permutation(len(images))[: attack.honest * EACH + attack.labels]
    at = np.arange(len(drawn)) - attack.honest * EACH
    wrong = (at >= 0) & (generator.random(len(at)) < attack.wrong)
    other = np.ones(len(at), int) if attack.agreed else generator.integers(1, CLASSES, len(at))
    sources = [
        f"liar {place % attack.sources}" if place >= 0 else f"honest {(-place - 1) // EACH}" for place in at.tolist()
    ]
    clients = [
        f"lair {place % attack.clients}" if place >= 0 else f"home {(-place - 1) // EACH}" for place in at.tolist()
    ]
    made = Images(
        pixels=images[drawn],
        labels=np.where(wrong, labels[drawn] + other, labels[drawn]).astype(np.uint8) % CLASSES,
        predicted=probabilities[drawn].argmax(1).astype(np.uint8),
        confidence=probabilities[drawn].max(1).astype(float),
        times=np.arange(len(drawn), dtype=np.int64),
        versions=np.full(len(drawn), "v0.1.0"),
        sources=np.array(sources),
        clients=np.array(clients),
    )
    return made, wrong


if __name__ == "__main__":
    main()
