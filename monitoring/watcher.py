"""The monitor beside a service: a process of its own, which costs no answer any time and takes none down with it."""

import collections
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

from digits.errors import PipelineError
from monitoring import state
from monitoring.state import State

_PATIENCE = 30.0  # seconds after which a watcher that ended is started again
_ENDING = 10.0  # seconds in which one has to end
_ASKED = (0, -signal.SIGTERM, -signal.SIGINT)  # exit codes of one that was asked to end, as the service may be, too


class Watcher:
    """Keeps `python -m monitoring.watch` running, and reads the state that it writes.

    Where another process watches the stage already, that one's state is read, and this one's waits to take over.

    Args:
        stage: whose traffic.
        path: of the state.
        seconds: from one look to the next.
    """

    def __init__(self, stage: str, path: Path, seconds: float) -> None:
        self._path = path
        options = [f"--stage={stage}", f"--every={seconds}", "--beside-service"]
        self._command = [sys.executable, "-m", "monitoring.watch", *options]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="watcher", daemon=True)
        self._running: subprocess.Popen[str] | None = None
        self._words = ""  # the last ones of a watcher that ended
        self._read: tuple[tuple[int, int], State] | None = None
        self._reading = threading.Lock()

    @property
    def state(self) -> State:
        """What the last look found; the state of a beginning before the first.

        Raises:
            StateError: the file is damaged.
        """
        with self._reading:
            try:
                found = self._path.stat()
            except FileNotFoundError:
                return State()
            key = found.st_ino, found.st_mtime_ns
            if self._read is None or self._read[0] != key:
                self._read = key, state.read(self._path)
            return self._read[1]

    @property
    def error(self) -> str:
        """Why nobody looks, or the last look failed; empty if all is well."""
        if self._words:
            return self._words
        try:
            return self.state.error
        except PipelineError as error:
            return str(error)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._running is not None:
            self._running.terminate()
        self._thread.join(_ENDING)

    def _keep(self) -> None:
        while not self._ended.is_set():
            with subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True) as self._running:
                if self._ended.is_set():  # while it was being started
                    self._running.terminate()
                assert self._running.stderr is not None
                self._words = ""
                said = collections.deque(self._running.stderr, maxlen=1)
            if self._ended.wait(0.5 if self._running.returncode in _ASKED else 0):
                return
            self._words = said.pop().strip() if said else f"the watcher ended with {self._running.returncode}"
            print(f"monitoring: {self._words}", file=sys.stderr, flush=True)
            self._ended.wait(_PATIENCE)
