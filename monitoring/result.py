"""What a detector says of a window, in numbers and in causes."""

import dataclasses
from collections.abc import Sequence
from enum import StrEnum

MOST_UNUSUAL = 10  # images that a result names


class Detector(StrEnum):
    """The four questions that are asked of traffic."""

    DATA_DRIFT = "data drift"  # do the images look as before, to us and to the model?
    LABEL_SHIFT = "label shift"  # are the classes as frequent as before?
    CONCEPT_DRIFT = "concept drift"  # has the model begun to err?
    ACCURACY = "accuracy"  # is it still right often enough?


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature's part in a result."""

    name: str
    statistic: float  # signed where there is a direction: above 0 means more, or higher, than in the reference
    p_value: float  # of this feature alone


@dataclasses.dataclass(frozen=True)
class Result:
    """What one test found in one window."""

    detector: Detector
    test: str
    statistic: float
    p_value: float | None  # corrected for all features and tests in it; a CUSUM has none, but a threshold
    n: int  # predictions or labels that it is about
    effect: float  # how large the difference is, whatever n
    effect_name: str
    features: tuple[Feature, ...] = ()  # most unusual first
    positions: tuple[int, ...] = ()  # in the window, of the images that caused it, most unusual first
    images: tuple[str, ...] = ()  # the same by their predictions' ids, once `named`
    parts: tuple["Result", ...] = ()  # tests that it joins

    def brief(self, features: int = 3) -> "Result":
        """The same with the few most unusual features, to be kept for long; parts keep no images of their own."""
        parts = tuple(dataclasses.replace(part.brief(features), images=(), positions=()) for part in self.parts)
        return dataclasses.replace(self, features=self.features[:features], positions=(), parts=parts)

    def named(self, ids: Sequence[str]) -> "Result":
        """The same, with the images' ids filled in."""
        parts = tuple(part.named(ids) for part in self.parts)
        return dataclasses.replace(self, images=tuple(ids[place] for place in self.positions), parts=parts)
