"""How far a sweep is: a bar with the time to go on a terminal, now and then a line elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Iterable

from tqdm import tqdm

from scaling.records import Record

_LINES = 10  # of a sweep, where nobody watches


class Progress:
    """What is said while trials end."""

    def __init__(self, total: int, records: Iterable[Record]) -> None:
        self._states: Counter[str] = Counter()
        self._best: Record | None = None
        for record in records:
            self._count(record)
        self._total, self._before, self._started = total, self._done, time.monotonic()
        self._said = self._done
        self._bar = tqdm(total=total, initial=self._done, unit="trial", disable=None, smoothing=0.05)

    @property
    def _done(self) -> int:
        return self._states.total()

    def ended(self, record: Record) -> None:
        """A trial has ended."""
        self._count(record)
        self._bar.set_postfix_str(self._summary(), refresh=False)
        self._bar.update()
        if self._bar.disable and (self._done == self._total or (self._done - self._said) * _LINES >= self._total):
            self._said = self._done
            print(f"{self._done}/{self._total} trials, {self._summary()}{self._to_go()}", flush=True)

    def note(self, text: str) -> None:
        """Something else that is worth a line."""
        with tqdm.external_write_mode():
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """No more of it."""
        self._bar.close()

    def _count(self, record: Record) -> None:
        self._states[record["state"]] += 1
        accuracy = record["validation_accuracy"]
        if record["state"] == "finished" and accuracy is not None:
            best = self._best["validation_accuracy"] if self._best else None
            if best is None or accuracy > best:
                self._best = record

    def _summary(self) -> str:
        best = (
            f"best {self._best['validation_accuracy']:.4f} ({self._best['trial']})" if self._best else "none finished"
        )
        return ", ".join(
            [best, *(f"{self._states[state]} {state}" for state in ("stopped", "failed") if self._states[state])]
        )

    def _to_go(self) -> str:
        return to_go(self._started, self._done - self._before, self._total - self._done)


def to_go(started: float, done: int, left: int) -> str:
    """The end of a line: how long what is left will take, if it goes on as since `started` (seconds, monotonic)."""
    seconds = left * (time.monotonic() - started) / max(1, done)
    return f", about {max(1, round(seconds / 60))} min to go" if left else ""
