"""Seconds from the service's start until it is ready, against bare imports of FastAPI and ONNX Runtime, in turns.

python -m benchmarks.start [--rounds 20]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.machine import children_seconds, publish, table
from benchmarks.running import free_port, service, started, workspace

IMPORTS = "import fastapi, onnxruntime"


def main() -> None:
    """Measure both, in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        place = workspace(Path(name) / "service")
        bare_start()
        ready(place)  # both once, so that their files are in memory
        turns = [(bare_start(), ready(place)) for _ in range(rounds)]
    rows = []
    for title, unit in (("seconds", 0), ("CPU seconds", 1)):
        bare, ours = ([turn[who][unit] for turn in turns] for who in (0, 1))
        ratios = [own / other for own, other in zip(ours, bare, strict=True)]
        rows.append([title, spread(ours), spread(bare), spread(ratios)])
    header = ["", "service, from its start until it is ready", f"`{IMPORTS}`", "ratio, median of rounds (range)"]
    body = table(header, rows)
    body += (
        f"\n\n{rounds} rounds in turns, median (range). Ready: `/readyz` answers 200, so the model is loaded, tested "
        f"and warmed, and the log open. The service's CPU seconds include its end."
    )
    publish("start", f"python -m benchmarks.start --rounds {rounds}", body, "fastapi", "onnxruntime", "sqlalchemy")


def bare_start() -> tuple[float, float]:
    """Seconds and CPU seconds of an interpreter that imports what no such service can do without."""
    cpu, begun = children_seconds(), time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.perf_counter() - begun, children_seconds() - cpu


def ready(place: Path) -> tuple[float, float]:
    """Seconds until the service is ready, and its CPU seconds until it has ended."""
    port = free_port()
    cpu, begun = children_seconds(), time.perf_counter()
    with started(service(port), port, place):
        seconds = time.perf_counter() - begun
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").close()  # which raises where it answers 503
    return seconds, children_seconds() - cpu


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
