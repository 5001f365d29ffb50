"""Concept drift: how many labels the CUSUM needs, and how often it raises a false alarm.

python -m benchmarks.drift_errors [--streams 1000]
"""

import argparse
import dataclasses

import numpy as np

from benchmarks.machine import publish, table
from digits.params import load
from monitoring.concept_drift import Cusum
from monitoring.settings import MonitoringParams

USUAL, BEFORE, CALM = 0.015, 500, 10_000
RATES = (0.05, 0.1, 0.2)


def main() -> None:
    """Measure, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000)
    streams = parser.parse_args().streams
    fresh = Cusum(**dataclasses.asdict(load(MonitoringParams, "monitoring").cusum))
    generator = np.random.default_rng(0)
    false = sum(alarms(fresh, generator.random(CALM) < USUAL) for _ in range(streams))
    medians = [np.array([delay(fresh, rate, generator) for _ in range(streams)]) for rate in RATES]
    row = [
        f"{false / streams:.3f} ({false} in {streams:,})",
        *(f"{np.median(needed):.0f} ({np.quantile(needed, 0.9):.0f})" for needed in medians),
    ]
    header = [
        "false alarms in 10,000 labels",
        *(f"labels to {rate:.0%} errors, median (90th percentile)" for rate in RATES),
    ]
    body = (
        f"{table(header, [row])}\n\n{streams:,} streams each; usual error rate {USUAL:.1%}, {BEFORE} labels of it "
        f"before the rate rises. After a false alarm the CUSUM begins anew; a stream that is "
        f"alarmed before the rise counts as if it began there."
    )
    command = f"python -m benchmarks.drift_errors --streams {streams}"
    publish("drift_errors", command, body, "numpy")


def alarms(fresh: Cusum, wrong: np.ndarray) -> int:
    """How often the threshold is reached, beginning anew after each time."""
    state, count = fresh, 0
    for error in wrong.tolist():
        state = state.after(error)
        if state.alarmed:
            state, count = fresh, count + 1
    return count


def delay(fresh: Cusum, rate: float, generator: np.random.Generator) -> int:
    """Labels from the rise of the error rate to the alarm."""
    state = fresh
    for error in (generator.random(BEFORE) < USUAL).tolist():
        state = state.after(error)
        state = fresh if state.alarmed else state
    needed = 0
    while not state.alarmed:
        state, needed = state.after(bool(generator.random() < rate)), needed + 1
    return needed


if __name__ == "__main__":
    main()
