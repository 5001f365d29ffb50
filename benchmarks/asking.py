"""A client that remembers each answer: so many connections, each of which asks again as soon as it has been answered.

python -m benchmarks.asking PORT FILE CONNECTIONS    until its input is closed; then the answers are in FILE, one a line

It prints a line after the first one.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from benchmarks.running import SMOKE
from digits.storage import read_arrays


class Answer(NamedTuple):
    """What came of one request; the clock is `time.monotonic`, which is the same for all processes of a machine."""

    sent: float
    received: float
    image: int  # of the smoke set
    status: int  # 0: the connection broke before there was an answer
    body: dict[str, Any]


def main() -> None:
    """Ask until nobody wants to know any more."""
    answers: list[str] = []
    uvloop.run(ask(int(sys.argv[1]), int(sys.argv[3]), answers))
    Path(sys.argv[2]).write_text("".join(answers))


async def ask(port: int, connections: int, answers: list[str]) -> None:
    """Ask on all connections until standard input ends, and wait for what is under way."""
    (images,) = read_arrays(SMOKE, "images")
    bodies = [json.dumps({"image": image.tolist()}).encode() for image in images]
    head = (
        "POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    )
    requests = [head.format(len(body)).encode() + body for body in bodies]
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, stop.set)
    await asyncio.gather(*(one(port, first, requests, stop, answers) for first in range(connections)))


async def one(port: int, image: int, requests: list[bytes], stop: asyncio.Event, answers: list[str]) -> None:
    """Ask on one connection, which is opened again if it breaks. One that is refused is a failed request, too."""
    while not stop.is_set():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            now = time.monotonic()
            answers.append(f"{now}\t{now}\t{image}\t0\t{{}}\n")
            await asyncio.sleep(0.01)
            continue
        while not stop.is_set():
            image, sent, status, body = (image + 1) % len(requests), time.monotonic(), 0, b"{}"
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                writer.write(requests[image])
                header = await reader.readuntil(b"\r\n\r\n")
                length = int(header.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                body = await reader.readexactly(length)
                status = int(header[9:12])
            answers.append(f"{sent}\t{time.monotonic()}\t{image}\t{status}\t{body.decode() if status else '{}'}\n")
            if len(answers) == 1:
                print("answered", flush=True)
            if not status:
                break
        writer.close()


class Asking:
    """A client at work: `answers` fills when it has been stopped."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []


@contextlib.contextmanager
def asking(port: int, file: Path, connections: int = 16) -> Iterator[Asking]:
    """A client in a process of its own, which is at work from the beginning and stops at the end."""
    client = Asking()
    command = [sys.executable, "-m", "benchmarks.asking", str(port), str(file), str(connections)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    try:
        process.stdout.readline()
        yield client
    finally:
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    if process.returncode:
        raise RuntimeError(f"the client ended with exit code {process.returncode}")
    for line in file.read_text().splitlines():
        sent, received, image, status, body = line.split("\t")
        client.answers.append(Answer(float(sent), float(received), int(image), int(status), json.loads(body)))


if __name__ == "__main__":
    main()
