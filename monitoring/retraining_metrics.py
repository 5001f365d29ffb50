"""What came of the retrainings that alerts started, for Prometheus to collect: `mnist_monitor_retraining...`."""

from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from delivery.schema import SECOND
from monitoring import dispatches
from monitoring.dispatches import Dispatches, DispatchesError
from monitoring.due import Key
from monitoring.exposition import Watched
from monitoring.state import StateError


class RetrainingCollector(Collector):
    """Of one stage, as `make retrain` has noted it.

    Args:
        watched: whose alerts; those that fire have a series.
        path: of the file that keeps what was started.
    """

    def __init__(self, watched: Watched, path: Path) -> None:
        self._watched, self._path = watched, path

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not read yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """What is known; where that can't be read, that alone."""
        try:
            known, failing = dispatches.read(self._path), False
        except DispatchesError:
            known, failing = Dispatches(), True
        yield from self._outcomes(known)
        if known.every is not None and known.looked is not None:
            yield GaugeMetricFamily(
                "mnist_monitor_retraining_last_look_timestamp_seconds",
                "When it was last looked whether a retraining is due; of one who looks again and again (EVERY)",
                known.looked / SECOND,
            )
            yield GaugeMetricFamily(
                "mnist_monitor_retraining_look_interval_seconds", "From one of these looks to the next", known.every
            )
            failing = failing or known.error != ""
        yield GaugeMetricFamily(
            "mnist_monitor_retraining_failing",
            "1 if the newest of these looks failed, or its notes can't be read",
            float(failing),
        )

    def _outcomes(self, known: Dispatches) -> Iterable[Metric]:
        outcome = GaugeMetricFamily(
            "mnist_monitor_retraining",
            "1 for what came of the newest retraining that an alert started, as long as the alert fires",
            labels=["version", "detector", "outcome"],
        )
        try:
            alerts = self._watched.state.alerts.alerts
        except StateError:
            return
        for alert in alerts:
            dispatch = known.of(Key.of(alert)) if alert.firing else None
            if dispatch is not None and dispatch.sent:
                outcome.add_metric([alert.version, alert.detector, dispatch.outcome or "pending"], 1)
        yield outcome
