"""Traffic for a trial: images that no reference has, in random order, as they are at first and changed after that."""

import dataclasses
from typing import NamedTuple

import numpy as np

from digits.dataset import CLASSES, Labelled
from digits.errors import PipelineError
from monitoring.shifts import SHIFTS

CLEAN = "clean"
_WITHOUT = "without"
# What a trial can do to traffic, by name, and in words.
CHANGES = {
    CLEAN: "nothing",
    **{name: shift.words for name, shift in SHIFTS.items()},
    **{f"{_WITHOUT}{label}": f"images of class {label} do not come any more" for label in range(CLASSES)},
}


class TrialError(PipelineError):
    """A trial that can't be made as it was asked for."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """What the traffic is like."""

    change: str = CLEAN  # one of CHANGES
    share: float = 1.0  # of the images that it happens to
    clean: int = 0  # images that come before
    seed: int = 0

    def __post_init__(self) -> None:
        if self.change not in CHANGES:
            raise TrialError(f"SHIFT={self.change}: expected {', '.join(CHANGES)}, or list, which explains them")


class Picture(NamedTuple):
    """One image uint8 (28, 28), the digit that it shows, and whether it was sent after the change began."""

    image: np.ndarray
    label: int
    late: bool


class Traffic:
    """Images without end: all of them in random order, then all of them in another one. The same seed, the same images.

    Args:
        data: what there is.
        trial: what becomes of it.

    Raises:
        TrialError: nothing would be left of it.
    """

    def __init__(self, data: Labelled, trial: Trial) -> None:
        if {f"{_WITHOUT}{label}" for label in data.labels.tolist()} == {trial.change}:
            raise TrialError(f"SHIFT={trial.change}: all images are of that class")
        self._data, self._trial = data, trial
        self._generator = np.random.default_rng(trial.seed)
        self._order: list[int] = []
        self._given = 0
        self.rounds = 0  # begun, of all images

    def __iter__(self) -> "Traffic":
        return self

    def __next__(self) -> Picture:
        """The next image."""
        late = self._given >= self._trial.clean
        while True:
            if not self._order:
                self._order = self._generator.permutation(len(self._data.labels)).tolist()
                self.rounds += 1
            place = self._order.pop()
            image, label = self._data.images[place], int(self._data.labels[place])
            happens = late and self._generator.random() < self._trial.share
            if not (happens and self._trial.change == f"{_WITHOUT}{label}"):
                break
        if happens and self._trial.change in SHIFTS:
            image = SHIFTS[self._trial.change](image[None], self._generator)[0]
        self._given += 1
        return Picture(image, label, late)
