"""The driver's side of a sweep, as Ray Tune sees it: which trial is next, and how each ended."""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from scaling.progress import Progress
from scaling.proposals import Proposals
from scaling.records import Journal, Record
from scaling.trial import METRIC

_DEATHS = 3  # of a trial's workers, until this driver runs it no more
_HOPELESS = 10  # errors that nobody foresaw, while nothing was measured anywhere, until the sweep ends
_SILENCE = 60.0  # seconds without any measurement, after which it is said
_REFUSALS = 3  # of a node, one after the other, until it is taken for one that can't work


class Search(Searcher, tune.Stopper):
    """Gives out the numbers that have no record yet, and writes a record when a trial ends.

    Tune swallows what its searcher raises. So that is kept in `problem`, and the sweep stopped.
    """

    def __init__(
        self,
        trials: int,
        proposals: Proposals,
        journal: Journal,
        progress: Progress,
        *,
        places: Callable[[], Mapping[str, int]],
        unfit: Iterable[str] = (),
        most: int | None = None,
        pause: float = 0.0,
    ) -> None:
        """Begin, or go on.

        Args:
            trials: how many in all.
            proposals: what they try; it knows the records.
            journal: of the sweep.
            progress: what is said meanwhile.
            places: how many trials each node runs at once, at present.
            unfit: nodes that can't work, which was told already.
            most: trials at once at most.
            pause: seconds without a new trial after a worker has died, for the next one may die as well.
        """
        super().__init__(metric=METRIC, mode="max")
        self.problem: Exception | None = None
        self.exhausted = False
        self.lost: list[int] = []  # trials without a record, whose workers ended again and again
        self._proposals, self._journal, self._progress, self._places = proposals, journal, progress, places
        ended = {int(record["trial"]) for record in journal.records}
        # The next one last. What was running when a driver was killed is among them, and comes first.
        self._waiting = [number for number in reversed(range(trials)) if number not in ended]
        self._settings: dict[int, dict[str, Any]] = {}  # of those that were given out
        self._running: dict[str, int] = {}
        self._deaths: Counter[int] = Counter()
        self._broken: dict[str, dict[str, Any]] = {}  # last words of workers that are about to end
        self._ended: Counter[str] = Counter()  # trials by place, which is a node's processors, or one of its GPUs
        self._first: dict[int, Counter[str]] = {}  # the same as it was when a trial first broke a worker
        self._breaks: Counter[str] = Counter()  # by node, since a trial ended there
        self._in_a_row = 0  # breaks, since a trial ended anywhere
        self._refusals: Counter[str] = Counter([*unfit])  # by node, since it last worked
        self._deserted, self._most, self._pause = False, most, pause
        self._not_before = 0.0
        self._waiting_since: float | None = None  # when a trial was given out and none had measured anything

    def suggest(self, trial_id: str) -> Any:
        """The next trial; None as long as one that is running could still be handed back."""
        if not self._waiting:
            return None if self._running else Searcher.FINISHED
        try:
            if not self._room():
                return None
            number = self._waiting.pop()
            if number not in self._settings:
                proposed = self._proposals.propose(number)
                if proposed is None:
                    self.exhausted, self._waiting = True, [kept for kept in self._waiting if kept in self._settings]
                    return None if self._running else Searcher.FINISHED
                self._settings[number] = proposed
        except Exception as error:
            self.problem = error
            return Searcher.FINISHED
        self._running[trial_id] = number
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        # As text, for Tune would look into it for search spaces of its own.
        return {"trial": f"{number:05}", "settings": json.dumps(self._settings[number])}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has ended, was handed back, or has lost its worker."""
        number = self._running.pop(trial_id)
        self._waiting_since = math.inf
        try:
            broken = self._broken.pop(trial_id, None)
            if broken:
                self._broke(number, broken)
            elif result is None or error:
                self._died(number)
            elif result["outcome"] == "refused":
                self._refused(number, result)
            else:
                self._ended[result["place"]] += 1
                self._in_a_row = 0
                self._breaks.pop(result["node"], None)
                self._refusals.pop(result["node"], None)
                self._keep(record(number, self._settings[number], result))
        except Exception as problem:
            self.problem = problem

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether to stop one trial: that is the scheduler's business. Called with each measurement that goes on."""
        self._waiting_since = math.inf
        if result["outcome"] == "broken":
            self._broken[trial_id] = result
        elif result["outcome"] != "refused":
            self._refusals.pop(result["node"], None)
        return False

    def stop_all(self) -> bool:
        """Whether to stop the sweep."""
        return self.problem is not None

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what a sweep goes on from is its records."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see `save`."""

    def _keep(self, ended: Record) -> None:
        self._journal.append(ended)
        self._proposals.learn(ended)
        self._progress.ended(ended)

    def _died(self, number: int) -> None:
        self._not_before = time.monotonic() + self._pause
        self._again(number, f"trial {number:05} has lost its worker")

    def _broke(self, number: int, result: dict[str, Any]) -> None:
        """An error is the trial's own if it comes once more, where others have ended since; else it may be the place's.

        For it was put last. So a place that breaks whatever it gets makes no trial a failed one.
        """
        node, place = result["node"], result["place"]
        self._breaks[node] += 1
        self._in_a_row += 1
        what = f"trial {number:05} has ended on node {node} with {result['error']}"
        before = self._first.setdefault(number, self._ended.copy())
        if self._ended[place] > before[place]:
            self._in_a_row = 0
            self._breaks.pop(node, None)
            self._keep(record(number, self._settings[number], result))
        elif self._hopeless() and not self._running:
            raise NoWorkerError(what)
        elif self._breaks[node] > _REFUSALS and not self._all_fail():
            self._waiting.insert(0, number)
            if self._breaks[node] == _REFUSALS + 1:
                self._progress.note(f"warning: {what}, as did those before; what it gets runs again on another node")
        else:
            self._again(number, what)

    def _again(self, number: int, what: str) -> None:
        """Put a trial last: a node on which all end so must not take its lives in a row."""
        self._deaths[number] += 1
        if self._deaths[number] < _DEATHS:
            self._waiting.insert(0, number)
            self._progress.note(f"warning: {what}; it runs again")
            return
        self.lost.append(number)
        self._progress.note(f"warning: {what}; after {_DEATHS} tries it is left out")

    def _refused(self, number: int, result: dict[str, Any]) -> None:
        self._waiting.append(number)
        node = result["node"]
        if node not in self._refusals:
            self._progress.note(f"warning: {result['error']}")
        self._refusals[node] += 1
        if not self._running and self._all_refuse():
            raise NoWorkerError(result["error"])

    def _room(self) -> bool:
        """Whether a node could take a trial now."""
        now = time.monotonic()
        if now < self._not_before:
            return False
        if self._waiting_since is not None and now - self._waiting_since > _SILENCE:
            self._waiting_since = math.inf
            self._progress.note(
                f"no trial has measured anything for {_SILENCE:g} seconds: another sweep perhaps has all places of the "
                f"cluster, where WORKERS= would leave room; see `ray status`"
            )
        places = self._places()
        if not places and not self._deserted:
            self._progress.note(
                "warning: no node is left that could run a trial; the sweep waits for one, see `ray status`"
            )
        self._deserted = not places
        room = sum(places.values())
        if self._most is not None:  # beside the workers that can't work, which would take all of it
            idle = (node for node in places if self._refusals[node] or self._breaks[node] > _REFUSALS)
            room = min(room, self._most + sum(places[node] for node in idle))
        # Where all refuse, and something runs nevertheless, that shows whether its node can work.
        return len(self._running) < room and not (self._running and (self._all_refuse() or self._hopeless()))

    def _all_refuse(self) -> bool:
        places = self._places()
        return bool(places) and all(self._refusals[node] >= _REFUSALS for node in places)

    def _all_fail(self) -> bool:
        return all(max(self._refusals[node], self._breaks[node]) >= _REFUSALS for node in self._places())

    def _hopeless(self) -> bool:
        return self._in_a_row >= _HOPELESS and self._all_fail()


class NoWorkerError(Exception):
    """Every node refuses, or breaks what it gets; the text is why the last one does."""


def record(number: int, settings: dict[str, Any], result: dict[str, Any]) -> Record:
    """What is kept of a trial, from the last that its worker said."""
    failed = result["outcome"] in ("failed", "broken")
    curve = [] if result["outcome"] == "broken" else result["curve"]  # ASHA has forgotten it
    return {
        "trial": f"{number:05}",
        "settings": settings,
        "state": "failed" if failed else "finished" if result["outcome"] else "stopped",
        "validation_accuracy": None if failed else result[METRIC],
        "validations": len(curve),
        "curve": curve,
        "loss": None if failed else result["loss"],
        "parameters": result["parameters"],
        "seconds": result["seconds"],
        "node": result["node"],
        "device": result["device"],
        "error": result["error"],
    }
