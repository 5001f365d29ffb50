"""How delivery is set up, as section `delivery` of params.yaml states it. Secrets are no params: see `serve`."""

import dataclasses
from typing import Annotated

from digits.params import Range


@dataclasses.dataclass(frozen=True)
class StageParams:
    """One entry of `delivery.stages`."""

    url: str  # of its service, http or https

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url: expected one that starts with http:// or https://, found {self.url!r}")


@dataclasses.dataclass(frozen=True)
class DeliveryParams:
    """Section `delivery`."""

    artifact: str
    stages: dict[str, StageParams]
    margin: Annotated[float, Range(at_least=0, at_most=100)]  # accuracy points
    significance: Annotated[float, Range(above=0, below=1)]
    smoke_accuracy: Annotated[float, Range(at_least=0, at_most=1)]
    keep_versions: Annotated[int, Range(at_least=1, at_most=1000)]
    max_batch: Annotated[int, Range(at_least=1, at_most=10_000)]
    max_request_bytes: Annotated[int, Range(at_least=10_000, at_most=1_000_000_000)]
    max_waiting: Annotated[int, Range(at_least=1, at_most=100_000)]
    timeout_seconds: Annotated[float, Range(above=0, at_most=3600)]
    retention_days: Annotated[float, Range(above=0)]
    log_max_bytes: Annotated[int, Range(at_least=1_000_000)]
