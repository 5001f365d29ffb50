"""Resident memory of the service after 10,000 and after 1,000,000 predictions.

python -m benchmarks.memory [--predictions 1000000]    (needs wrk: apt install wrk)
"""

import argparse
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.machine import publish, table
from benchmarks.running import free_port, resident_bytes, service, started, workspace, write_requests, wrk

BATCH = 100
FIRST = 10_000  # predictions, after which memory is measured for the first time
STEPS = 3  # measurements between the first and the last one


class Service:
    """One that is asked by wrk."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self._process, self._port, self._folder = process, port, folder
        self.failed = self.single = 0
        write_requests(folder / "single.lua")
        write_requests(folder / "batches.lua", BATCH)

    def ask(self, predictions: int) -> None:
        """Ask for single images for two seconds and for batches until there have been so many predictions."""
        load = wrk(self._port, self._folder / "single.lua", 2)
        self.single += load.requests
        self.failed += load.failed
        while self.predictions() < predictions:
            self.failed += wrk(self._port, self._folder / "batches.lua", 1).failed

    def predictions(self) -> int:
        """How many there have been, as the service counts them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return int(sum(float(line.split()[-1]) for line in lines if line.startswith("mnist_predictions_total{")))

    def megabytes(self) -> float:
        """Resident memory at rest."""
        time.sleep(1)  # until what was under way at the end of the load has been answered
        return resident_bytes(self._process) / 1e6


def main() -> None:
    """Measure one service, after as many predictions as it takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=1_000_000)
    last = parser.parse_args().predictions
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        with started(service(port), port, workspace(folder / "service")) as process:
            asked = Service(process, port, folder)
            measured = [(0, asked.megabytes())]
            for step in range(STEPS + 2):
                asked.ask(FIRST + (last - FIRST) * step // (STEPS + 1))
                measured.append((asked.predictions(), asked.megabytes()))
                print(*measured[-1], flush=True)
        log = (folder / "service/logs/production.db").stat().st_size
    first = measured[1][1]
    rows = [[f"{count:,}", f"{size:.1f}", f"{size / first:.3f}"] for count, size in measured]
    body = table(["predictions", "resident memory, MB", "of that after the first 10,000"], rows)
    body += (
        f"\n\nOne service, asked on 16 connections for {asked.single:,} single images and for the others in batches of "
        f"{BATCH}; {asked.failed} requests failed; the log had {log / 1e9:.2f} GB in the end."
    )
    publish("memory", f"python -m benchmarks.memory --predictions {last}", body, "fastapi", "uvicorn", "onnxruntime")


if __name__ == "__main__":
    main()
