"""How often the whole policy raises a false alert: all detectors on clean traffic, every prediction labelled at once.

python -m benchmarks.drift_policy [--trials 1000]

Thresholds are compared on some trials, and what params.yaml has is measured on others: the best of several looks better
on what it was chosen by than it is.
"""

import argparse
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.drift_data import Scored, drawn, scored
from benchmarks.machine import publish, table
from digits.dataset import labelled
from digits.onnx_model import OnnxModel
from digits.params import load
from digits.storage import read_arrays
from monitoring.alerts import Alerts, Track
from monitoring.data_drift import joined
from monitoring.result import Detector, Result
from monitoring.settings import MonitoringParams
from monitoring.streams import Labelled, begin, with_classes, with_labels
from monitoring.windows import End, Piece
from stages.evaluate import ONNX, TEST

ALERT = (0.001, 0.0005, 0.00025)
TO_CHOOSE, TO_QUOTE = 0, 1  # seeds


def main() -> None:
    """Count for some thresholds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    params = load(MonitoringParams, "monitoring")
    test = labelled(read_arrays(TEST, "images", "labels"), str(TEST))
    clean = scored(OnnxModel(ONNX, threads=2), *test)
    rows = []
    for seed, thresholds in ((TO_CHOOSE, ALERT), (TO_QUOTE, (params.alert,))):
        generator = np.random.default_rng(seed)
        traffic = [list(judged(clean, generator, params)) for _ in range(trials)]
        windows = sum(map(len, traffic))
        for alert in thresholds:
            raised = [follow(results, dataclasses.replace(params, alert=alert)) for results in traffic]
            rows.append(row(f"{alert:g}{' (params.yaml)' if seed == TO_QUOTE else ''}", seed, raised, windows))
    header = ["monitoring.alert", "seed", *Detector, "false alerts in 1,000 windows (95 % interval)"]
    body = (
        f"{table(header, rows)}\n\nFalse alerts in {windows:,} clean, disjoint windows of {params.window}: {trials:,} "
        f"times, half of the test images drawn as reference, the others as traffic in random order, all labelled. "
        f"The threshold was chosen by seed {TO_CHOOSE}, so that the whole interval is at most 1, and is measured again "
        f"with seed {TO_QUOTE}. Interval: the trials drawn anew, as wholes, since the windows of one have a reference "
        f"in common (bootstrap, percentiles)."
    )
    command = f"python -m benchmarks.drift_policy --trials {trials}"
    publish("drift_policy", command, body, "numpy", "scipy")


def judged(clean: Scored, generator: np.random.Generator, params: MonitoringParams) -> Iterator[list[Result]]:
    """What the detectors say of each window of one trial; without causes, of which there would be too many."""
    reference, rest = drawn(clean, generator)
    stream = begin(params.cusum)
    for number, start in enumerate(range(0, len(rest) - params.window + 1, params.window)):
        window = clean.take(rest[start : start + params.window])
        predicted = window.probabilities.argmax(1)
        ids, times = tuple(map(str, range(params.window))), (number,) * params.window
        piece = Piece("v", End.FULL, ids, times, window.images, window.probabilities, predicted)
        results = [joined(reference, window.statistics, window.probabilities, params.tail_rank)]
        stream, shifted = with_classes(stream, piece, reference.predicted, params.label_window)
        pairs = zip(window.labels.tolist(), predicted.tolist(), strict=True)
        labels = [Labelled(number, "", truth, label) for truth, label in pairs]
        stream, timed = with_labels(stream, labels, params)
        found = [*results, *shifted, *(result for _, result in timed)]
        yield [dataclasses.replace(one, features=(), positions=(), images=(), parts=()) for one in found]


def follow(results: list[list[Result]], params: MonitoringParams) -> list[Detector]:
    """Detectors of the alerts that are raised."""
    tracks: dict[Detector, Track] = {}
    alerts = Alerts()
    raised = []
    for number, window in enumerate(results):
        for result in window:
            track = tracks.get(result.detector, Track()).after(result, number, params)
            tracks[result.detector] = track
            alerts, told = alerts.after(track, result, "v", number, params)
            if told and told.firing:
                raised.append(told.detector)
    return raised


def row(name: str, seed: int, raised: Sequence[Sequence[Detector]], windows: int) -> list[str]:
    """One line of the table, from the alerts of each trial."""
    counts = Counter(detector for trial in raised for detector in trial)
    rate, low, high = (1000 / windows * alerts for alerts in interval([len(trial) for trial in raised]))
    return [name, f"{seed}", *(f"{counts[one]}" for one in Detector), f"{rate:.2f} ({low:.2f} to {high:.2f})"]


def interval(counts: Sequence[int]) -> tuple[float, float, float]:
    """Alerts of all trials together, and between what they are in 95 of 100 draws of as many trials from these.

    Where there are none, draws say nothing: then up to 3, by the rule of three for one alert a trial.
    """
    if not any(counts):
        return 0, 0, 3
    alerts, times = np.unique(counts, return_counts=True)
    draws = np.random.default_rng(0).multinomial(len(counts), times / len(counts), 10_000) @ alerts
    return sum(counts), *np.quantile(draws, (0.025, 0.975)).tolist()


if __name__ == "__main__":
    main()
