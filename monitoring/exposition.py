"""What monitoring knows, for Prometheus to collect from the service's `/metrics`: names begin with `mnist_monitor_`."""

from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from delivery.schema import SECOND, now
from monitoring.alerts import Level
from monitoring.result import Detector
from monitoring.settings import MonitoringParams
from monitoring.state import State, StateError, Stream


class Watched(Protocol):
    """Whoever looks at the log again and again: a Watcher."""

    @property
    def state(self) -> State:
        """What the newest look left.

        Raises:
            StateError: nobody knows.
        """

    @property
    def error(self) -> str:
        """Why nobody looks, or the newest look failed; empty if all is well."""


class MonitorCollector(Collector):
    """Of one stage.

    As many series as there are versions that answer, times detectors, times levels: a retired version has none.

    Args:
        watched: asked at each collection.
        params: section `monitoring`.
        clock: microseconds since 1970, UTC.
    """

    def __init__(self, watched: Watched, params: MonitoringParams, clock: Callable[[], int] = now) -> None:
        self._watched, self._params, self._clock = watched, params, clock
        self._gap = round(params.gap_seconds * SECOND)

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not ask for figures yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All figures, of one and the same state; where that can't be read, that alone."""
        failing = float(self._watched.error != "")
        yield GaugeMetricFamily("mnist_monitor_failing", "1 if nobody looks, or the newest look failed", failing)
        try:
            state = self._watched.state
        except StateError:
            return
        streams = {name: one for name, one in state.streams.items() if not state.retired(name, self._gap)}
        yield from self._watching(state)
        yield from self._detectors(state, streams)
        yield from self._numbers(streams)

    def _watching(self, state: State) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "mnist_monitor_last_look_timestamp_seconds",
            "When the newest look at the prediction log was over; 0 before the first",
            (state.looked or 0) / SECOND,
        )
        yield GaugeMetricFamily(
            "mnist_monitor_look_interval_seconds",
            "From one look to the next (monitoring.look_seconds)",
            self._params.look_seconds,
        )
        yield CounterMetricFamily("mnist_monitor_alerts", "Alerts that were raised", state.alerts.raised)
        yield CounterMetricFamily(
            "mnist_monitor_late_predictions",
            "Predictions that were not judged, for they were dated into time already read",
            state.late,
        )
        yield CounterMetricFamily(
            "mnist_monitor_late_labels",
            "True labels that were not counted, for they were dated into time already read",
            state.late_labels,
        )

    def _detectors(self, state: State, streams: dict[str, Stream]) -> Iterable[Metric]:
        level = GaugeMetricFamily(
            "mnist_monitor_level",
            "1 for what a detector's newest result means, 0 for what it does not",
            labels=["version", "detector", "level"],
        )
        p_value = GaugeMetricFamily(
            "mnist_monitor_p_value",
            "Of a detector's newest result, corrected for its features and tests",
            labels=["version", "detector"],
        )
        firing = GaugeMetricFamily(
            "mnist_monitor_alert_firing", "1 as long as an alert fires", labels=["version", "detector"]
        )
        moment = self._clock()
        for version, stream in streams.items():
            levels = state.levels(version, moment, self._gap)
            for detector in Detector:
                for one in Level:
                    level.add_metric([version, detector, one], float(levels[detector] is one))
                alert = state.alerts.firing(version, detector)
                firing.add_metric([version, detector], float(alert is not None))
                result = stream.newest_results.get(detector)
                if result is not None and result.p_value is not None:
                    p_value.add_metric([version, detector], result.p_value)
        threshold = GaugeMetricFamily(
            "mnist_monitor_p_value_threshold",
            "A p-value at or below it means so much (monitoring.warn, monitoring.alert)",
            labels=["level"],
        )
        threshold.add_metric([Level.WARN], self._params.warn)
        threshold.add_metric([Level.ALERT], self._params.alert)
        yield from (level, p_value, firing, threshold)

    def _numbers(self, streams: dict[str, Stream]) -> Iterable[Metric]:
        windows = CounterMetricFamily(
            "mnist_monitor_windows",
            "Windows of predictions; those that could not be judged were too small or without a reference",
            labels=["version", "judged"],
        )
        labelled = CounterMetricFamily(
            "mnist_monitor_labelled_predictions", "Predictions whose true label came", labels=["version"]
        )
        wrong = CounterMetricFamily("mnist_monitor_wrong_predictions", "Of these, the wrong ones", labels=["version"])
        accuracy = GaugeMetricFamily(
            "mnist_monitor_accuracy_ratio",
            "Of the labels that were last tested together (monitoring.accuracy.window)",
            labels=["version"],
        )
        cusum = GaugeMetricFamily("mnist_monitor_cusum", "Evidence for a higher error rate", labels=["version"])
        for version, stream in streams.items():
            windows.add_metric([version, "yes"], stream.judged)
            windows.add_metric([version, "no"], stream.windows - stream.judged)
            labelled.add_metric([version], stream.labelled)
            wrong.add_metric([version], stream.wrong)
            tested = stream.newest_results.get(Detector.ACCURACY)
            if tested is not None:
                accuracy.add_metric([version], tested.effect)
            cusum.add_metric([version], stream.cusum.statistic)
        yield from (windows, labelled, wrong, accuracy, cusum)
        yield GaugeMetricFamily(
            "mnist_monitor_accuracy_threshold_ratio",
            "The accuracy that is asked for (monitoring.accuracy.at_least)",
            self._params.accuracy.at_least,
        )
        yield GaugeMetricFamily(
            "mnist_monitor_cusum_threshold",
            "Evidence that raises an alert (monitoring.cusum.threshold)",
            self._params.cusum.threshold,
        )
