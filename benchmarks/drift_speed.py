"""What a window of 100 images costs without inference, here and with evidently, in turns in one run.

python -m benchmarks.drift_speed --rival PYTHON [--rounds 5]

PYTHON is the rival's, in an environment of its own: `pip install evidently 'pandas<3'`.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.drift_data import drawn, scored
from benchmarks.machine import publish, table
from digits.dataset import labelled
from digits.image_statistics import image_statistics
from digits.onnx_model import OnnxModel
from digits.params import load
from digits.storage import read_arrays, write_arrays
from monitoring.data_drift import data_drift
from monitoring.label_shift import label_shift
from monitoring.settings import MonitoringParams
from stages.evaluate import ONNX, TEST

WINDOW, CALLS = 100, 50
RIVAL = Path(__file__).with_name("rival_evidently.py")


def main() -> None:
    """Measure in turns, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rival", required=True, help="Python that has evidently")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rank = load(MonitoringParams, "monitoring").tail_rank
    test = labelled(read_arrays(TEST, "images", "labels"), str(TEST))
    clean = scored(OnnxModel(ONNX, threads=2), *test)
    reference, rest = drawn(clean, np.random.default_rng(0))
    window = clean.take(rest[:WINDOW])
    predicted = np.bincount(window.probabilities.argmax(1), minlength=10)
    ours: dict[str, Callable[[], object]] = {
        "data drift": lambda: data_drift(reference, window.images, window.probabilities, rank),
        "of these, image statistics": lambda: image_statistics(window.images),
        "label shift": lambda: label_shift(reference.predicted, predicted),
    }
    measured: dict[str, list[float]] = {name: [] for name in ours}
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "window.npz"
        # Sorted columns are the same distributions, which is all that evidently looks at.
        before = np.concatenate([reference.probabilities, reference.statistics]).T
        write_arrays(file, before=before, now=np.concatenate([window.probabilities, window.statistics], axis=1))
        for _ in range(arguments.rounds):
            for name, call in ours.items():
                measured[name].append(milliseconds(call))
            rival = [arguments.rival, "-W", "ignore", str(RIVAL), str(file)]
            said = json.loads(subprocess.run(rival, check=True, stdout=subprocess.PIPE).stdout)
            theirs.append(said["milliseconds"])
    total = [sum(pair) for pair in zip(measured["data drift"], measured["label shift"], strict=True)]
    ratios = [rival / own for rival, own in zip(theirs, total, strict=True)]
    rows = [[name, spread(values)] for name, values in measured.items()]
    rows += [
        [f"evidently {said['version']}, the same 18 columns, its defaults", spread(theirs)],
        ["times quicker", spread(ratios)],
    ]
    header = [f"window of {WINDOW} images, reference of {len(reference):,}", "milliseconds, median (range)"]
    body = (
        f"{table(header, rows)}\n\n{arguments.rounds} rounds in turns, the median of {CALLS} calls each, of evidently "
        f"3, after a first call that does not count; processor time, since other programs ran beside."
    )
    command = f"python -m benchmarks.drift_speed --rival PYTHON --rounds {arguments.rounds}"
    publish("drift_speed", command, body, "numpy", "scipy")


def milliseconds(call: Callable[[], object]) -> float:
    """Median of some calls, processor time."""
    call()
    times = []
    for _ in range(CALLS):
        started = time.process_time()
        call()
        times.append(1000 * (time.process_time() - started))
    return statistics.median(times)


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
