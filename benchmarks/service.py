"""Requests a second of the service, of a bare FastAPI endpoint and of LitServe, in turns.

The processor's time for a request is what to go by on a machine that has other things to do.

python -m benchmarks.service [--rounds 8] [--seconds 3] [--litserve path/to/its/python]    (needs wrk: apt install wrk)
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import publish, table
from benchmarks.running import (
    MODEL,
    ROOT,
    Load,
    cpu_seconds,
    free_port,
    service,
    started,
    workspace,
    write_requests,
    wrk,
)

BARE, LITSERVE, OURS = "bare FastAPI, in the event loop", "LitServe 0.2.19", "this service"
THREADS, POWER = "bare FastAPI, in its threads", "this service, `log_power_safe: true`"


class Turn(NamedTuple):
    """What one service did in one round."""

    load: Load
    cpu: float  # milliseconds a request, of all its processes


def main() -> None:
    """Start them all, and ask one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--litserve", type=Path, help="Python of an environment with it; by default one is made")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_requests(folder / "requests.lua")
        python = arguments.litserve or environment(folder)
        scripts = [sys.executable, "benchmarks/rival_fastapi.py"], [str(python), "benchmarks/rival_litserve.py"]
        ports = {name: free_port() for name in (BARE, THREADS, LITSERVE, OURS, POWER)}
        commands = {
            BARE: ([*scripts[0], "loop", str(ports[BARE]), str(MODEL)], ROOT),
            THREADS: ([*scripts[0], "threads", str(ports[THREADS]), str(MODEL)], ROOT),
            LITSERVE: ([*scripts[1], str(ports[LITSERVE]), str(MODEL)], ROOT),
            OURS: (service(ports[OURS]), workspace(folder / "default")),
            POWER: (service(ports[POWER]), workspace(folder / "power-safe", log_power_safe=True)),
        }
        processes = {
            name: stack.enter_context(started(command, ports[name], place))
            for name, (command, place) in commands.items()
        }
        for port in ports.values():
            wrk(port, folder / "requests.lua", 1)
        measured: dict[str, list[Turn]] = {name: [] for name in ports}
        for _ in range(arguments.rounds):
            for name, turns in measured.items():
                before = cpu_seconds(processes[name])
                load = wrk(ports[name], folder / "requests.lua", arguments.seconds)
                turns.append(Turn(load, 1000 * (cpu_seconds(processes[name]) - before) / load.requests))
                print(name, turns[-1], flush=True)
    report(measured, arguments.rounds, arguments.seconds)


def environment(folder: Path) -> Path:
    """An environment of LitServe's own, with this one's versions of the model's runtime."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "litserve")], check=True)
    pins = [f"{name}=={metadata.version(name)}" for name in ("onnxruntime", "numpy")]
    python = folder / "litserve/bin/python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "litserve==0.2.19", *pins], check=True)
    return python


def report(measured: dict[str, list[Turn]], rounds: int, seconds: int) -> None:
    """The table, and the ratios of the same rounds."""

    def spread(values: list[float], digits: int) -> str:
        return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"

    rows = []
    for name, turns in measured.items():
        others = [
            [own.load.per_second / other.load.per_second for own, other in zip(turns, measured[rival], strict=True)]
            for rival in (BARE, LITSERVE)
        ]
        tails = [own.load.p99 / other.load.p99 for own, other in zip(turns, measured[BARE], strict=True)]
        rows.append(
            [
                name,
                spread([turn.load.per_second for turn in turns], 0),
                spread([turn.load.p99 for turn in turns], 1),
                spread([turn.cpu for turn in turns], 2),
                spread(others[0], 2),
                spread(others[1], 2),
                spread(tails, 2),
                str(sum(turn.load.failed for turn in turns)),
            ]
        )
    header = ["service", "requests a second", "p99, ms", "CPU ms a request"]
    header += ["times bare", "times LitServe", "p99, times bare", "failed"]
    body = (
        f"{table(header, rows)}\n\nMedian (range) of {rounds} rounds in turns of {seconds} s each, ratios within a "
        f"round; 16 connections, one image of JSON a request, load generator on the same machine; one process each "
        f"(LitServe: its API server and its worker)."
    )
    command = f"python -m benchmarks.service --rounds {rounds} --seconds {seconds}"
    publish("service", command, body, "fastapi", "uvicorn", "onnxruntime")


if __name__ == "__main__":
    main()
