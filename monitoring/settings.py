"""Section `monitoring` of params.yaml."""

import dataclasses
from typing import Annotated

from digits.params import Range

Count = Annotated[int, Range(at_least=1, at_most=1_000_000)]
Share = Annotated[float, Range(above=0, below=1)]


@dataclasses.dataclass(frozen=True)
class CusumParams:
    """Section `monitoring.cusum`."""

    usual: Share
    harmful: Share
    threshold: Annotated[float, Range(above=0)]

    def __post_init__(self) -> None:
        if self.harmful <= self.usual:
            raise ValueError(f"harmful: {self.harmful:g} is not above usual ({self.usual:g})")


@dataclasses.dataclass(frozen=True)
class AccuracyParams:
    """Section `monitoring.accuracy`."""

    window: Count
    at_least: Share


@dataclasses.dataclass(frozen=True)
class RetrainingParams:
    """Section `monitoring.retraining`."""

    labels: Count
    harm: Share
    pause_hours: Annotated[float, Range(at_least=0)]
    lost_hours: Annotated[float, Range(above=0)]
    every_days: Annotated[float, Range(above=0)] | None
    held_out: Count
    margin: Annotated[float, Range(at_least=0, at_most=100)]  # accuracy points
    significance: Share
    largest_loss: Annotated[float, Range(at_least=0, at_most=100)]  # accuracy points

    def __post_init__(self) -> None:
        if self.largest_loss < self.margin:
            raise ValueError(f"largest_loss: {self.largest_loss:g} is below margin ({self.margin:g})")


@dataclasses.dataclass(frozen=True)
class FeedbackParams:
    """Section `monitoring.feedback`: which labels may be trained on. A sender is a source, and also a client."""

    agreement: Annotated[float, Range(above=0.5, at_most=1)]
    confident: Share
    doubtful: Share
    significance: Share
    smallest_sender: Annotated[int, Range(at_least=3, at_most=10_000)]
    largest_share: Share
    always: Count
    trusted: tuple[str, ...] | None
    max_images: Count
    holdout: Share
    holdout_days: Annotated[float, Range(above=0)]
    seed: Annotated[int, Range(at_least=0, below=2**32)]


@dataclasses.dataclass(frozen=True)
class MonitoringParams:
    """Section `monitoring`."""

    look_seconds: Annotated[float, Range(at_least=0.1, at_most=3600)]
    window: Annotated[int, Range(at_least=20, at_most=10_000)]
    smallest_window: Annotated[int, Range(at_least=20, at_most=10_000)]
    gap_seconds: Annotated[float, Range(above=0)]
    settle_seconds: Annotated[float, Range(at_least=0)]
    warn: Share
    alert: Share
    windows_in_a_row: Annotated[int, Range(at_least=2, at_most=100)]
    calm_windows: Annotated[int, Range(at_least=1, at_most=100)]
    tail_rank: Count
    label_window: Annotated[int, Range(at_least=100, at_most=1_000_000)]
    cusum: CusumParams
    accuracy: AccuracyParams
    label_sources: tuple[str, ...] | None
    retraining: RetrainingParams
    kept_windows: Annotated[int, Range(at_least=1, at_most=10_000)]
    feedback: FeedbackParams

    def __post_init__(self) -> None:
        if self.alert >= self.warn:
            raise ValueError(f"alert: {self.alert:g} is not below warn ({self.warn:g})")
        if self.smallest_window > self.window:
            raise ValueError(f"smallest_window: {self.smallest_window} is more than window ({self.window})")
