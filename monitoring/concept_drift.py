"""Has the model begun to err more often? A stream of labelled predictions, right or wrong, answers soonest."""

import dataclasses
import math
from collections.abc import Iterable

from monitoring.result import MOST_UNUSUAL, Detector, Result


@dataclasses.dataclass(frozen=True)
class Cusum:
    """Bernoulli CUSUM (Page 1954; Reynolds & Stoumbos 1999): the evidence for a higher error rate since it was nil.

    Args:
        usual: error rate that is no reason to worry.
        harmful: error rate that has to be found.
        threshold: evidence, a logarithm of a likelihood ratio, at which it is said to be found.
    """

    usual: float
    harmful: float
    threshold: float
    statistic: float = 0.0
    labels: int = 0  # since the statistic was last 0
    errors: int = 0
    images: tuple[str, ...] = ()  # the latest of these errors, newest first

    def after(self, wrong: bool, image: str = "") -> "Cusum":
        """With one label more.

        The statistic stops at the threshold: else a long fault would take as long to be forgotten once it is mended.
        """
        step = math.log(self.harmful / self.usual) if wrong else math.log((1 - self.harmful) / (1 - self.usual))
        statistic = min(self.statistic + step, self.threshold)
        if statistic <= 0:
            return dataclasses.replace(self, statistic=0.0, labels=0, errors=0, images=())
        images = (image, *self.images)[:MOST_UNUSUAL] if wrong else self.images
        return dataclasses.replace(
            self, statistic=statistic, labels=self.labels + 1, errors=self.errors + wrong, images=images
        )

    def after_all(self, wrong: Iterable[bool], images: Iterable[str]) -> "Cusum":
        """With a label for each of `images`, in the order in which they came."""
        state = self
        for error, image in zip(wrong, images, strict=True):
            state = state.after(bool(error), image)
        return state

    @property
    def alarmed(self) -> bool:
        """Whether the threshold is reached."""
        return self.statistic >= self.threshold

    def result(self, labels: int) -> Result:
        """The state as a result, after so many labels since the last gap."""
        return Result(
            detector=Detector.CONCEPT_DRIFT,
            test="Bernoulli CUSUM on labelled errors",
            statistic=self.statistic,
            p_value=None,
            n=labels,
            effect=self.errors / self.labels if self.labels else 0.0,
            effect_name="error rate since the evidence was nil",
            images=self.images,
        )
