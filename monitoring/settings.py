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
    kept_windows: Annotated[int, Range(at_least=1, at_most=10_000)]

    def __post_init__(self) -> None:
        if self.alert >= self.warn:
            raise ValueError(f"alert: {self.alert:g} is not below warn ({self.warn:g})")
        if self.smallest_window > self.window:
            raise ValueError(f"smallest_window: {self.smallest_window} is more than window ({self.window})")
