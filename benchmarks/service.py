"""Requests a second of the service, of a bare FastAPI endpoint and of LitServe, in turns.

python -m benchmarks.service [--rounds 10] [--seconds 3] [--litserve path/to/its/python]    (needs wrk: apt install wrk)
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from benchmarks.machine import publish, table
from benchmarks.running import MODEL, Load, free_port, service, started, workspace, write_requests, wrk

BARE, LITSERVE, OURS = "bare FastAPI, in the event loop", "LitServe 0.2.19", "this service"
THREADS, POWER = "bare FastAPI, in its threads", "this service, `log_power_safe: true`"


def main() -> None:
    """Start them all, and ask one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--litserve", type=Path, help="Python of an environment with it; by default one is made")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_requests(folder / "requests.lua")
        python = arguments.litserve or environment(folder)
        ports = {name: free_port() for name in (BARE, THREADS, LITSERVE, OURS, POWER)}
        for name, command in (
            (BARE, [sys.executable, "benchmarks/rival_fastapi.py", "loop"]),
            (THREADS, [sys.executable, "benchmarks/rival_fastapi.py", "threads"]),
            (LITSERVE, [str(python), "benchmarks/rival_litserve.py"]),
        ):
            stack.enter_context(started([*command, str(ports[name]), str(MODEL)], ports[name]))
        stack.enter_context(started(service(ports[OURS]), ports[OURS], workspace(folder / "default")))
        power_safe = workspace(folder / "power-safe", log_power_safe=True)
        stack.enter_context(started(service(ports[POWER]), ports[POWER], power_safe))
        for port in ports.values():
            wrk(port, folder / "requests.lua", 2)
        measured: dict[str, list[Load]] = {name: [] for name in ports}
        for _ in range(arguments.rounds):
            for name, loads in measured.items():
                loads.append(wrk(ports[name], folder / "requests.lua", arguments.seconds))
                print(name, loads[-1], flush=True)
    report(measured, arguments.rounds, arguments.seconds)


def environment(folder: Path) -> Path:
    """An environment of LitServe's own, with this one's versions of the model's runtime."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "litserve")], check=True)
    pins = [f"{name}=={metadata.version(name)}" for name in ("onnxruntime", "numpy")]
    python = folder / "litserve/bin/python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "litserve==0.2.19", *pins], check=True)
    return python


def report(measured: dict[str, list[Load]], rounds: int, seconds: float) -> None:
    """The table, and the ratios of the same rounds."""

    def spread(values: list[float], digits: int) -> str:
        return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"

    rows = []
    for name, loads in measured.items():
        others = [
            [own.per_second / other.per_second for own, other in zip(loads, measured[rival], strict=True)]
            for rival in (BARE, LITSERVE)
        ]
        tails = [own.p99 / other.p99 for own, other in zip(loads, measured[BARE], strict=True)]
        rows.append(
            [
                name,
                spread([load.per_second for load in loads], 0),
                spread([load.p99 for load in loads], 1),
                spread(others[0], 2),
                spread(others[1], 2),
                spread(tails, 2),
                str(sum(load.failed for load in loads)),
            ]
        )
    header = ["service", "requests a second", "p99, ms", "times bare", "times LitServe", "p99, times bare", "failed"]
    body = (
        f"{table(header, rows)}\n\nMedian (range) of {rounds} rounds in turns of {seconds:g} s each, ratios within a "
        f"round; 16 connections, one image of JSON a request, load generator on the same machine; one process each "
        f"(LitServe: its API server and its worker)."
    )
    command = f"python -m benchmarks.service --rounds {rounds} --seconds {seconds:g}"
    publish("service", command, body, "fastapi", "uvicorn", "onnxruntime")


if __name__ == "__main__":
    main()
