"""The driver's side of a sweep, as Ray Tune sees it: which trial is next, and how each ended."""

import itertools
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from scaling.faults import LIVES, Faults, Verdict
from scaling.progress import Progress
from scaling.proposals import Proposals
from scaling.records import Journal, Record
from scaling.trial import METRIC

_SILENCE = 60.0  # seconds in which no trial has begun anywhere, after which it is said
_HANGS = 900.0  # seconds in which a trial has measured nothing, after which it is said; or three times what is usual


@dataclass
class Given:
    """A trial that a worker has, or will have as soon as there is room."""

    number: int
    last: dict[str, Any] | None = None  # what the worker has said last; that it has begun, if nothing else
    heard: float = math.inf  # when, by the monotonic clock
    told: bool = False  # that it may hang


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
        self._faults = Faults(places, unfit)
        ended = {int(record["trial"]) for record in journal.records}
        left = (number for number in itertools.count() if number not in ended)
        # The next one last. What was running when a driver was killed is among them, and comes first.
        self._waiting = [*itertools.islice(left, max(0, trials - len(ended)))][::-1]
        self._settings: dict[int, dict[str, Any]] = {}  # of those that were given out
        self._running: dict[str, Given] = {}
        self._named: set[str] = set()  # places that break whatever they get, as was told
        self._devices = {device for record in journal.records if (device := record["device"])}
        self._deserted, self._most, self._pause = False, most, pause
        self._longest = 0.0  # seconds between two results of a trial, so far
        self._not_before = 0.0
        self._waiting_since: float | None = None  # when a trial was given out and none had begun

    def suggest(self, trial_id: str) -> Any:
        """The next trial; None as long as one that is running could still be handed back."""
        self._listen()
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
                    return None if self._running or self._waiting else Searcher.FINISHED
                self._settings[number] = proposed
        except Exception as error:
            self.problem = error
            return Searcher.FINISHED
        self._running[trial_id] = Given(number)
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        # As text, for Tune would look into it for search spaces of its own.
        return {"trial": f"{number:05}", "settings": json.dumps(self._settings[number])}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has ended, was handed back, or has lost its worker."""
        given = self._running.pop(trial_id)
        number, last = given.number, given.last
        self._waiting_since = math.inf
        try:
            if last and last["outcome"] == "broken":
                self._broke(number, last)
            elif result is None or error:
                self._died(number, last)
            elif result["outcome"] == "refused":
                self._refused(number, result)
            else:
                self._faults.ended(result["node"], result["place"])
                self._named.discard(result["place"])
                self._keep(record(number, self._settings[number], result))
        except Exception as problem:
            self.problem = problem

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether to stop one trial: that is the scheduler's business. Called with each measurement that goes on."""
        if result["outcome"] != "refused":
            self._waiting_since = math.inf
            given, now = self._running[trial_id], time.monotonic()
            if given.last:
                self._longest = max(self._longest, now - given.heard)
                self._faults.worked(result["node"])
            given.last, given.heard = result, now
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
        if not (device := ended["device"]) or device in self._devices:
            return
        if self._devices:
            self._progress.note(
                f"warning: trial {ended['trial']} was computed with {device}, others with "
                f"{', '.join(sorted(self._devices))}: the same settings would differ there by rounding"
            )
        self._devices.add(device)

    def _died(self, number: int, last: dict[str, Any] | None) -> None:
        self._not_before = time.monotonic() + self._pause
        what, node, place = f"trial {number:05} has lost its worker", None, None
        if last:
            node, place = last["node"], last["place"]
            what += f" on node {place}"
        self._judged(number, self._faults.died(number, node, place, others=self._others()), what, last)

    def _broke(self, number: int, last: dict[str, Any]) -> None:
        what = f"trial {number:05} has ended on node {last['place']} with {last['error']}"
        running, others = bool(self._running), self._others()
        verdict = self._faults.broke(number, last["node"], last["place"], running=running, others=others)
        self._judged(number, verdict, what, last)

    def _others(self) -> bool:
        """Whether trials run at places that don't break whatever they get."""
        told = (given.last for given in self._running.values() if given.last)
        return any(not self._faults.bad(last["node"], last["place"]) for last in told)

    def _judged(self, number: int, verdict: Verdict, what: str, last: dict[str, Any] | None) -> None:
        """Do what was judged. What runs again is put last: where all end so, none loses its lives in a row."""
        if verdict is Verdict.HOPELESS:
            raise NoWorkerError(what)
        if verdict is Verdict.LOST:
            self.lost.append(number)
            self._progress.note(f"warning: {what}; after {LIVES} tries it is left out")
        elif verdict is Verdict.FAILED:
            assert last is not None
            self._keep(record(number, self._settings[number], last))
        else:
            self._waiting.insert(0, number)
            if verdict is Verdict.AGAIN:
                self._progress.note(f"warning: {what}; it runs again")
            elif last and last["place"] not in self._named:
                self._named.add(last["place"])
                self._progress.note(f"warning: {what}, as did those before; whatever ends so there runs again")

    def _refused(self, number: int, result: dict[str, Any]) -> None:
        self._waiting.append(number)
        if self._faults.refused(result["node"]):
            self._progress.note(f"warning: {result['error']}")
        if not self._running and self._faults.all_refuse:
            raise NoWorkerError(result["error"])

    def _listen(self) -> None:
        """Say which trials are not heard of any more: a worker that hangs is not ended by anybody."""
        now, limit = time.monotonic(), max(_HANGS, 3 * self._longest)
        for given in self._running.values():
            if given.last and not given.told and now - given.heard > limit:
                given.told = True
                self._progress.note(
                    f"warning: trial {given.number:05} has measured nothing for {limit / 60:.0f} minutes, on node "
                    f"{given.last['place']}; if it hangs, end its process {given.last['pid']} there, and it runs again"
                )

    def _room(self) -> bool:
        """Whether a node could take a trial now."""
        now = time.monotonic()
        if now < self._not_before:
            return False
        if self._waiting_since is not None and now - self._waiting_since > _SILENCE:
            self._waiting_since = math.inf
            self._progress.note(
                f"no trial has begun for {_SILENCE:g} seconds: another sweep perhaps has all places of the "
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
            room = min(room, self._most + sum(map(self._faults.unusable, places)))
        # Where nothing can work, and something runs nevertheless, that shows whether its node can.
        return len(self._running) < room and not (self._running and (self._faults.all_refuse or self._faults.hopeless))


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
