"""What the service counts, for Prometheus to collect from `/metrics`."""

import dataclasses
import math
import sys
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from delivery.log import Scored

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclasses.dataclass(frozen=True)
class Answered:
    """What one route has answered since the service began."""

    within: dict[float, int]  # answers that took at most so many seconds; in the end, under infinity, all
    statuses: dict[int, int]  # answers by HTTP status


class Metrics:
    """Counters and histograms of one service."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began, which nobody asks for
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "mnist_requests_total", "Answers by route and status", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "mnist_request_seconds", "From header to answer", ["route"], buckets=_SECONDS, registry=registry
        )
        self._predictions = Counter(
            "mnist_predictions_total", "Logged predictions", ["version", "label"], registry=registry
        )
        self._batches = Histogram(
            "mnist_batch_images", "Images scored and logged together", buckets=_IMAGES, registry=registry
        )
        self._feedback = Counter(
            "mnist_feedback_total", "True labels by what became of them", ["status"], registry=registry
        )
        self._model = Gauge("mnist_model", "1 for the version that answers", ["stage", "version"], registry=registry)
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def measure(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Ask `value` at each collection; NaN where it can't be had, which must not take the other figures along."""

        def asked() -> float:
            try:
                return value()
            except Exception:  # a database's and its driver's
                return math.nan

        Gauge(name, what, registry=self._registry).set_function(asked)

    def register(self, collector: Collector) -> None:
        """Ask `collector` at each collection too; what it can't say must not take the other figures along."""
        self._registry.register(_Careful(collector))

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        key = method, route, status
        if key not in self._children:
            self._children[key] = self._requests.labels(*map(str, key)), self._seconds.labels(route)
        count, histogram = self._children[key]
        count.inc()
        histogram.observe(seconds)

    def batch(self, scored: Scored) -> None:
        """Count one batch of logged predictions."""
        self._batches.observe(len(scored.labels))
        for label, count in Tally(scored.labels).items():
            self._predictions.labels(scored.version, str(label)).inc(count)

    def feedback(self, status: str) -> None:
        """Count one label that was sent."""
        self._feedback.labels(status).inc()

    def model(self, stage: str, version: str) -> None:
        """Remember which version answers."""
        self._model.clear()
        self._model.labels(stage, version).set(1)

    def answered(self, route: str) -> Answered:
        """The figures of one route, as `text` has them at this moment."""
        buckets = [(float(labels["le"]), int(value)) for labels, value in _samples(self._seconds, route, "_bucket")]
        statuses: Tally[int] = Tally()
        for labels, value in _samples(self._requests, route, "_total"):
            statuses[int(labels["status"])] += int(value)
        return Answered(dict(sorted(buckets)), dict(statuses))

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)


def _samples(collector: Collector, route: str, suffix: str) -> Iterator[tuple[dict[str, str], float]]:
    for family in collector.collect():
        for sample in family.samples:
            if sample.name == family.name + suffix and sample.labels["route"] == route:
                yield sample.labels, sample.value


class _Careful(Collector):
    """A collector that gives nothing where another fails."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._failure = ""

    def describe(self) -> Iterable[Metric]:
        """Nothing, or it would be asked while it is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All that the other says, or nothing."""
        try:
            found, failure = list(self._collector.collect()), ""
        except Exception as error:  # whatever it is
            found, failure = [], repr(error)
        if failure and failure != self._failure:
            print(f"error: some figures are missing from /metrics: {failure}", file=sys.stderr, flush=True)
        self._failure = failure
        return found
