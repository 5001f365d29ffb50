"""Whose fault it is that a trial has not ended: its own, or that of the place where it ran.

A place is a node's processors, or one of its GPUs. What goes wrong there is a refusal, if the trial could not begin, or
a break: an error that nobody foresaw, such as of a lost GPU, or a worker that has died, for want of memory perhaps. No
trial pays for a place that breaks whatever it gets.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

LIVES = 3  # of a trial: breaks that count, until this driver runs it no more
_ENOUGH = 3  # refusals of a node, or breaks at a place, one after the other, until it is taken for one that can't work
_ALONE = 10  # breaks of a trial that don't count, while none runs elsewhere: perhaps they always get the same bad place
_HOPELESS = 10  # errors one after the other, while nothing has ended anywhere, until the sweep ends


class Verdict(Enum):
    """What comes of a trial after a break."""

    FAILED = "the trial's own fault"
    AGAIN = "it runs again, and that counts"
    FREE = "it runs again, for the place breaks whatever it gets"
    LOST = "it is left out"
    HOPELESS = "whatever runs anywhere breaks"


@dataclass
class Place:
    """What is known of one."""

    ended: int = 0  # trials
    row: list[int] = field(default_factory=list)  # trials that broke here since one has ended

    @property
    def bad(self) -> bool:
        """Whether it breaks whatever it gets."""
        return len(self.row) > _ENOUGH


class Faults:
    """Counts them, and judges."""

    def __init__(self, places: Callable[[], Mapping[str, int]], unfit: Iterable[str] = ()) -> None:
        """Begin.

        Args:
            places: how many trials each node runs at once, at present.
            unfit: nodes that can't work, which was told already.
        """
        self._present = places
        self._places: dict[str, dict[str, Place]] = defaultdict(lambda: defaultdict(Place))  # by node and name
        self._refusals: Counter[str] = Counter([*unfit])  # by node, one after the other
        self._first: dict[int, Counter[str]] = {}  # by trial: how many had ended at each place when it first broke
        self._lives: Counter[int] = Counter()  # that a trial has used
        self._alone: Counter[int] = Counter()  # breaks of a trial that did not count, while none ran elsewhere
        self._in_a_row = 0  # errors, while nothing has ended anywhere

    def worked(self, node: str) -> None:
        """A node has got further with a trial than to begin."""
        self._refusals.pop(node, None)

    def bad(self, node: str, place: str) -> bool:
        """Whether a place breaks whatever it gets."""
        return self._places[node][place].bad

    def ended(self, node: str, place: str) -> None:
        """A trial has ended well, or as badly as it would anywhere."""
        self._in_a_row = 0
        found = self._places[node][place]
        found.ended += 1
        found.row.clear()

    def refused(self, node: str) -> bool:
        """A node could not begin a trial. Whether it is the first time."""
        self._refusals[node] += 1
        return self._refusals[node] == 1

    def broke(self, number: int, node: str, place: str, *, running: bool, others: bool) -> Verdict:
        """An error has ended a trial and its worker.

        Args:
            number: of the trial.
            node: where it ran.
            place: where it ran there.
            running: whether others run meanwhile.
            others: whether some of them run at places that are not `bad`.

        It is the trial's own if it comes again where others have ended in between, for the trial was put last; or if
        it comes a third time where others have ended before, and no other one breaks.
        """
        found = self._places[node][place]
        found.row.append(number)
        self._in_a_row += 1
        before = self._first.setdefault(number, self._counts())
        third = self._lives[number] + 1 == LIVES
        last = third and not others and found.ended and set(found.row) == {number}
        if found.ended > before[place] or last:
            found.row.clear()
            self._in_a_row = 0
            return Verdict.FAILED
        if not running and self.hopeless:
            return Verdict.HOPELESS
        # While others run, they show whether anything can end; where nothing does, `hopeless` puts an end to it.
        free = (found.bad and (running or self._working)) or (third and others)
        return self._again(number, free=free, others=others)

    def died(self, number: int, node: str | None, place: str | None, *, others: bool) -> Verdict:
        """A worker is gone, without a word; where it was is known if the trial had begun. See `broke`."""
        bad = False
        if node is not None and place is not None:
            self._places[node][place].row.append(number)
            bad = self._places[node][place].bad
        return self._again(number, free=bad and self._working, others=others)

    def unusable(self, node: str) -> int:
        """How many trials a node has room for that would not run there."""
        if self._refusals[node]:
            return self._present().get(node, 0)
        bad = [name for name, place in self._places[node].items() if place.bad]
        return self._present().get(node, 0) if node in bad else len(bad)

    @property
    def all_refuse(self) -> bool:
        """Whether no node can work that is there."""
        nodes = self._present()
        return bool(nodes) and all(self._refusals[node] >= _ENOUGH for node in nodes)

    @property
    def hopeless(self) -> bool:
        """Whether whatever runs anywhere breaks."""
        return self._in_a_row >= _HOPELESS and not self._working

    @property
    def _working(self) -> bool:
        """Whether there is a node that works, or that may."""
        return any(self._may_work(node) for node in self._present())

    def _may_work(self, node: str) -> bool:
        places = self._places[node].values()
        broken = sum(len(place.row) for place in places) >= _ENOUGH
        works = any(place.ended and len(place.row) < _ENOUGH for place in places)
        return self._refusals[node] < _ENOUGH and (works or not broken)

    def _again(self, number: int, *, free: bool, others: bool) -> Verdict:
        if free and not others:
            self._alone[number] += 1
        if free and self._alone[number] <= _ALONE:
            return Verdict.FREE
        self._lives[number] += 1
        return Verdict.AGAIN if self._lives[number] < LIVES else Verdict.LOST

    def _counts(self) -> Counter[str]:
        return Counter({name: place.ended for places in self._places.values() for name, place in places.items()})
