"""What a new node of a cluster fetches before its first trial, and what that costs the Git host.

The committed project is served by `git daemon` on this machine, with the DVC remote inside it, as it is embedded.

python -m benchmarks.scaling_node [--nodes 5]
"""

import argparse
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.distributed import spread
from benchmarks.machine import children_seconds, publish, table
from benchmarks.running import free_port
from scaling import fetching
from scaling.checkout import checked_out
from scaling.source import DATA, describe_code


class Node(NamedTuple):
    """What one node has fetched."""

    seconds: float
    cpu: float  # of the node, seconds
    host: float  # CPU seconds of the Git host
    megabytes: float  # that Git has received, with the data inside
    kept: float  # megabytes of the node's cache


def main() -> None:
    """Prepare nodes one after the other, each with an empty cache, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=5)
    count = parser.parse_args().nodes
    sums = describe_code(None).data
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["git", "clone", "--quiet", "--bare", ".", str(folder / "project.git")], check=True)
        with serving(folder) as (address, host):
            nodes = [fetch(folder / str(number), address, host, commit, sums) for number in range(count)]
    data = sum(Path(name).stat().st_size for name in DATA) / 1e6
    rows = [
        ["megabytes that Git receives, data of the embedded DVC remote with it", spread([n.megabytes for n in nodes])],
        ["of them data, which another DVC remote would send", f"{data:.2f}"],
        ["megabytes on the node's disk", spread([n.kept for n in nodes])],
        ["seconds until the node is ready", spread([n.seconds for n in nodes])],
        ["CPU seconds of the node", spread([n.cpu for n in nodes])],
        ["CPU seconds of the Git host", spread([n.host for n in nodes])],
    ]
    body = f"{table(['a new node', 'median (range)'], rows)}\n\n{count} nodes, one after the other."
    publish("scaling_node", f"python -m benchmarks.scaling_node --nodes {count}", body, "dvc")


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Address of the repository in a folder, and the process that serves it."""
    for setting in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):  # as Git hosts have it
        subprocess.run(["git", "-C", str(folder / "project.git"), "config", setting, "true"], check=True)
    port = free_port()
    # Called by its own name, not by `git`, so that what it starts are its children.
    path = subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip()
    command = [f"{path}/git-daemon", "--listen=127.0.0.1", f"--port={port}", f"--base-path={folder}", "--export-all"]
    process = subprocess.Popen([*command, str(folder)])
    try:
        address = f"git://127.0.0.1:{port}/project.git"
        until = time.monotonic() + 60
        while subprocess.run(["git", "ls-remote", "--quiet", address], capture_output=True, check=False).returncode:
            if time.monotonic() > until:
                raise RuntimeError(f"{address} does not answer")
            time.sleep(0.1)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def fetch(cache: Path, address: str, host: psutil.Process, commit: str, sums: dict[str, str]) -> Node:
    """Prepare one node, whose cache is empty."""
    received = []
    remove = fetching.shutil.rmtree

    def weighed(path: os.PathLike[str], *rest: object, **options: object) -> None:
        if Path(path).name == ".git":  # it is removed once all is fetched
            received.append(weight(Path(path) / "objects"))
        remove(path, *rest, **options)  # type: ignore[arg-type]

    fetching.shutil.rmtree = weighed  # type: ignore[assignment]
    before, served, started = children_seconds(), reaped(host), time.perf_counter()
    try:
        checked_out(cache, address, commit, sums)
    finally:
        fetching.shutil.rmtree = remove
    seconds, cpu = time.perf_counter() - started, children_seconds() - before
    time.sleep(1)  # until the daemon has counted its children
    result = Node(seconds, cpu, reaped(host) - served, received[0], weight(cache))
    print(result, flush=True)
    return result


def reaped(process: psutil.Process) -> float:
    """User and system seconds of the children that a process has waited for."""
    times = process.cpu_times()
    return float(times.children_user + times.children_system)


def weight(folder: Path) -> float:
    """Megabytes of the files in a folder; what has two names counts once."""
    sizes = {path.stat().st_ino: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return sum(sizes.values()) / 1e6


if __name__ == "__main__":
    main()
