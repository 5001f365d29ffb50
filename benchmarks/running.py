"""Services as processes of their own, and wrk, which asks them."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml

from digits.storage import read_arrays

ROOT = Path(__file__).resolve().parents[1]
MODEL, SMOKE = Path("models/model.onnx"), Path("models/smoke.npz")


class Load(NamedTuple):
    """What wrk saw."""

    requests: int
    per_second: float
    p50: float  # milliseconds
    p99: float
    failed: int  # answers other than 2xx, and connections that broke


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def workspace(folder: Path, **changes: object) -> Path:
    """A folder in which the service finds the workspace's model and params, some of `delivery` changed."""
    folder.mkdir()
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["delivery"] |= changes
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "models").symlink_to(MODEL.parent.resolve())
    return folder


@contextlib.contextmanager
def started(command: list[str], port: int, folder: Path = ROOT) -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers HTTP, in its working folder; it is ended with its children."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until_answers(port, process)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def service(port: int) -> list[str]:
    """Command of this project's service."""
    return [sys.executable, "-m", "delivery.serve", "--port", str(port)]


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """User and system time of a process and its children so far."""
    parent = psutil.Process(process.pid)
    times = [one.cpu_times() for one in (parent, *parent.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def resident_bytes(process: subprocess.Popen[bytes]) -> int:
    """Memory that a process has of its own or shares, as far as it is not swapped."""
    return int(psutil.Process(process.pid).memory_info().rss)


def wait_until_answers(port: int, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Return with the first answer of any status."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"nothing answers on port {port}; exit code {process.poll()}")


def write_requests(path: Path, batch: int = 1) -> None:
    """A wrk script that sends the smoke set's images in turn, so many a request."""
    (images,) = read_arrays(SMOKE, "images")
    rows = [image.tolist() for image in images]
    if batch == 1:
        requests: list[object] = [{"image": image} for image in rows]
    else:  # each begins with another image
        requests = [{"images": [rows[(first + n) % len(rows)] for n in range(batch)]} for first in range(8)]
    bodies = ",\n".join(f"'{json.dumps(request)}'" for request in requests)
    path.write_text(
        f"local bodies = {{{bodies}}}\nlocal turn = 0\nwrk.method = 'POST'\n"
        "wrk.headers['Content-Type'] = 'application/json'\n"
        "request = function()\n  turn = turn % #bodies + 1\n  return wrk.format(nil, nil, nil, bodies[turn])\nend\n"
    )


def wrk(port: int, script: Path, seconds: int, connections: int = 16) -> Load:
    """Ask for so many whole seconds, each connection as soon as it has been answered."""
    said = subprocess.run(_wrk(port, script, seconds, connections), check=True, capture_output=True, text=True)
    return _load(said.stdout)


@contextlib.contextmanager
def wrk_meanwhile(port: int, script: Path, connections: int = 16) -> Iterator[list[Load]]:
    """Ask from the beginning to the end; then what wrk saw is in the list."""
    process = subprocess.Popen(_wrk(port, script, 3600, connections), stdout=subprocess.PIPE, text=True)
    seen: list[Load] = []
    try:
        yield seen
    finally:
        process.send_signal(signal.SIGINT)
        seen.append(_load(process.communicate(timeout=60)[0]))


def _wrk(port: int, script: Path, seconds: int, connections: int) -> list[str]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    return [*command, f"http://127.0.0.1:{port}/v1/predict"]


def _load(said: str) -> Load:
    def number(pattern: str) -> float:
        found = re.search(pattern, said)
        return float(found[1]) * {"us": 1e-3, "ms": 1, "s": 1e3, "": 1}[found[2]] if found else 0.0

    failed = sum(map(int, re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", said)))
    return Load(
        int(number(r"(\d+)() requests in")),
        number(r"Requests/sec: +([\d.]+)()"),
        number(r"50% +([\d.]+)(us|ms|s)"),
        number(r"99% +([\d.]+)(us|ms|s)"),
        failed,
    )
