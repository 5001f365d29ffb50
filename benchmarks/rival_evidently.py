"""Evidently's data drift preset on one window, in its own environment: called by benchmarks.drift_speed."""

import json
import statistics
import sys
import time
from importlib import metadata

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from evidently import DataDefinition, Dataset, Report  # type: ignore[import-not-found]
from evidently.presets import DataDriftPreset  # type: ignore[import-not-found]


def main() -> None:
    """Print the milliseconds of processor time that a window takes."""
    with np.load(sys.argv[1], allow_pickle=False) as arrays:
        before, now = arrays["before"], arrays["now"]
    names = [f"column {place}" for place in range(before.shape[1])]
    definition = DataDefinition(numerical_columns=names)
    reference = Dataset.from_pandas(pd.DataFrame(before, columns=names), data_definition=definition)
    times = []
    for _ in range(4):
        started = time.process_time()
        window = Dataset.from_pandas(pd.DataFrame(now, columns=names), data_definition=definition)
        Report([DataDriftPreset()]).run(window, reference).dict()
        times.append(1000 * (time.process_time() - started))
    print(json.dumps({"milliseconds": statistics.median(times[1:]), "version": metadata.version("evidently")}))


if __name__ == "__main__":
    main()
