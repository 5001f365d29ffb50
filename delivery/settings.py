"""How delivery is set up: section `delivery` of params.yaml, and environment variables for secrets and machines."""

import dataclasses
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from digits.errors import PipelineError
from digits.params import Range


class SettingsError(PipelineError):
    """An environment variable or an option of the service can't be used."""


@dataclasses.dataclass(frozen=True)
class StageParams:
    """One entry of `delivery.stages`."""

    url: str  # of its service, http or https

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url: expected one that starts with http:// or https://, found {self.url!r}")
        try:
            known = bool(urlsplit(self.url).hostname) and urlsplit(self.url).port != 0
        except ValueError:  # what follows the colon
            known = False
        if not known:
            raise ValueError(f"url: expected a host, and a port from 1 to 65535 if any, found {self.url!r}")


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
    max_waiting_bytes: Annotated[int, Range(at_least=10_000)]  # that have arrived of all requests, together
    max_picture_pixels: Annotated[int, Range(at_least=784, at_most=1_000_000_000)]
    timeout_seconds: Annotated[float, Range(above=0, at_most=3600)]
    retention_days: Annotated[float, Range(above=0)]
    log_max_bytes: Annotated[int, Range(at_least=1_000_000)]
    log_power_safe: bool


@dataclasses.dataclass(frozen=True)
class ServiceSettings:
    """Where one service listens and what it keeps, from environment variables (see `from_environment`)."""

    stage: str
    host: str
    port: int
    deployments: Path  # versions lie in `deployments/<stage>/`
    log_url: str  # SQLAlchemy's
    admin_token: str | None  # feedback and admin routes ask for it

    @classmethod
    def from_environment(
        cls, stage: str, params: DeliveryParams, environment: Mapping[str, str] = os.environ
    ) -> "ServiceSettings":
        """MNIST_HOST, MNIST_PORT, MNIST_DEPLOYMENTS, MNIST_LOG_URL, MNIST_ADMIN_TOKEN; each has a default.

        Raises:
            SettingsError: no such stage, no port, or a public address without a token.
        """
        if stage not in params.stages:
            raise SettingsError(f"stage {stage!r} is none of params.yaml's delivery.stages: {', '.join(params.stages)}")
        host = environment.get("MNIST_HOST") or "127.0.0.1"
        chosen = environment.get("MNIST_PORT") or str(urlsplit(params.stages[stage].url).port or 8000)
        token = environment.get("MNIST_ADMIN_TOKEN") or None
        if token is not None and not (token.isascii() and token.isprintable()):
            raise SettingsError("MNIST_ADMIN_TOKEN: expected printable ASCII, which a header can carry")
        if token is None and not is_loopback(host):
            raise SettingsError(
                f"{host} can be reached from other machines, and anybody there could store labels and reload the "
                f"model; set MNIST_ADMIN_TOKEN, or bind to 127.0.0.1"
            )
        return cls(
            stage=stage,
            host=host,
            port=port(chosen, "MNIST_PORT"),
            deployments=Path(environment.get("MNIST_DEPLOYMENTS") or "deployments"),
            log_url=environment.get("MNIST_LOG_URL") or f"sqlite:///logs/{stage}.db",
            admin_token=token,
        )


def port(text: str, name: str) -> int:
    """A port by its number.

    Raises:
        SettingsError: it is none; `name` says where it was given.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise SettingsError(f"{name}: expected a number from 0 (any free port) to 65535, found {text!r}")
    return int(text)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`, a name or an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
