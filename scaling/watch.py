"""Says in time that the head node of a cluster is lost: after a minute without it, Ray ends the process from within."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS = 10.0  # between two looks, and for an answer
_MISSES = 2  # in a row


@contextmanager
def watched(address: str, advice: str, seconds: float = _SECONDS) -> Iterator[None]:
    """Look now and then whether somebody listens at the head node.

    Args:
        address: HOST:PORT.
        advice: what is said, once, if nobody does.
        seconds: between two looks.
    """
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(address, advice, seconds, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(address: str, advice: str, seconds: float, ended: threading.Event) -> None:
    host, _, port = address.rpartition(":")
    misses = 0
    while not ended.wait(seconds):
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
            misses = 0
        except OSError as error:
            misses += 1
            if misses == _MISSES:
                text = f"warning: the cluster's head node, {address}, does not answer ({error}); {advice}"
                print(f"\n{text}", file=sys.stderr, flush=True)
