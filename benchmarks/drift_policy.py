"""How often the whole policy raises a false alert: all detectors on clean traffic, every prediction labelled at once.

python -m benchmarks.drift_policy [--trials 400]
"""

import argparse
import dataclasses
from collections.abc import Iterator

import numpy as np

from benchmarks.drift_data import Scored, drawn, scored
from benchmarks.machine import publish, table
from digits.dataset import labelled
from digits.onnx_model import OnnxModel
from digits.params import load
from digits.scoring import wilson_interval
from digits.storage import read_arrays
from monitoring.alerts import Alerts, Track
from monitoring.data_drift import joined
from monitoring.result import Detector, Result
from monitoring.settings import MonitoringParams
from monitoring.streams import Labelled, begin, with_classes, with_labels
from monitoring.windows import End, Piece
from stages.evaluate import ONNX, TEST

ALERT = (0.001, 0.0005, 0.00025)


def main() -> None:
    """Count for some thresholds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    trials = parser.parse_args().trials
    params = load(MonitoringParams, "monitoring")
    test = labelled(read_arrays(TEST, "images", "labels"), str(TEST))
    clean = scored(OnnxModel(ONNX, threads=2), *test)
    generator = np.random.default_rng(0)
    traffic = [list(judged(clean, generator, params)) for _ in range(trials)]
    windows = sum(map(len, traffic))
    rows = []
    for alert in sorted({*ALERT, params.alert}, reverse=True):
        chosen = dataclasses.replace(params, alert=alert)
        raised = [detector for results in traffic for detector in follow(results, chosen)]
        low, high = wilson_interval(len(raised), windows)
        counts = [f"{raised.count(detector)}" for detector in Detector]
        name = f"{alert:g}{' (params.yaml)' if alert == params.alert else ''}"
        rate = 1000 / windows * len(raised)
        rows.append([name, *counts, f"{rate:.2f} ({1000 * low:.2f} to {1000 * high:.2f})"])
    header = ["monitoring.alert", *Detector, "false alerts in 1,000 windows (95 % interval)"]
    body = (
        f"{table(header, rows)}\n\nFalse alerts in {windows:,} clean, disjoint windows of {params.window}: {trials} "
        f"times, half of the test images drawn as reference, the others as traffic in random order, all labelled."
    )
    publish("drift_policy", f"python -m benchmarks.drift_policy --trials {trials}", body, "numpy", "scipy")


def judged(clean: Scored, generator: np.random.Generator, params: MonitoringParams) -> Iterator[list[Result]]:
    """What the detectors say of each window of one trial."""
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
        yield [*results, *shifted, *(result for _, result in timed)]


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


if __name__ == "__main__":
    main()
