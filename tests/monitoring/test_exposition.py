import dataclasses

import pytest
from prometheus_client.parser import text_string_to_metric_families

from delivery.metrics import Metrics
from delivery.schema import SECOND
from monitoring.alerts import Level
from monitoring.exposition import MonitorCollector
from monitoring.result import Detector
from monitoring.shifts import moved
from monitoring.state import State
from monitoring.watcher import Watcher
from tests.monitoring.logged import HOUR
from tests.prometheus.programs import said


@dataclasses.dataclass
class Watched:
    """A watcher whose looks a test makes itself."""

    state: State
    error: str = ""


@pytest.fixture
def exposed(logged):
    """What the service would expose at this moment, as text."""

    def text(error: str = "", **changes: object) -> str:
        watched, metrics = Watched(dataclasses.replace(logged.state, **changes), error), Metrics()
        metrics.register(MonitorCollector(watched, logged.params, lambda: logged.now))
        return metrics.text().decode()

    return text


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by name and by the values of their labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def drifted(images, probabilities):
    return moved(images, 3), probabilities


def test_before_the_first_look_nothing_is_said_of_any_version(exposed):
    text = exposed()
    found = {name: values for name, values in samples(text).items() if name.startswith("mnist_monitor_")}
    assert found == {
        "mnist_monitor_last_look_timestamp_seconds": {(): 0},
        "mnist_monitor_look_interval_seconds": {(): 5},
        "mnist_monitor_failing": {(): 0},
        "mnist_monitor_alerts_total": {(): 0},
        "mnist_monitor_late_predictions_total": {(): 0},
        "mnist_monitor_late_labels_total": {(): 0},
        "mnist_monitor_p_value_threshold": {("warn",): 0.01, ("alert",): 0.0005},
        "mnist_monitor_accuracy_threshold_ratio": {(): 0.97},
        "mnist_monitor_cusum_threshold": {(): 8},
    }
    assert said("promtool", "check", "metrics", stdin=text) == ""


def test_windows_labels_and_results_of_each_version(logged, exposed):
    ids = logged.predict(300)
    logged.label(ids[:240], errors=2)
    logged.predict(30, version="v2")
    logged.predict(30, version="v2", seconds=HOUR // SECOND + 1)  # a gap cuts the window short
    logged.predict(1)
    logged.predict(1, version="v2")
    logged.look()
    text, stream = exposed(), logged.state.streams["v1"]
    found = samples(text)
    assert found["mnist_monitor_windows_total"] == {
        ("yes", "v1"): 3,
        ("no", "v1"): 0,
        ("yes", "v2"): 1,
        ("no", "v2"): 0,
    }
    assert found["mnist_monitor_labelled_predictions_total"] == {("v1",): 240, ("v2",): 0}
    assert found["mnist_monitor_wrong_predictions_total"] == {("v1",): 2, ("v2",): 0}
    assert found["mnist_monitor_accuracy_ratio"] == {("v1",): 198 / 200}
    assert found["mnist_monitor_cusum"][("v1",)] == stream.cusum.statistic
    expected = [result for window in logged.state.windows if window.version == "v1" for result in window.results]
    assert found["mnist_monitor_p_value"][("data drift", "v1")] == expected[-1].p_value
    assert found["mnist_monitor_p_value"][("accuracy", "v1")] == stream.newest_results[Detector.ACCURACY].p_value
    assert set(found["mnist_monitor_p_value"]) == {("data drift", "v1"), ("accuracy", "v1"), ("data drift", "v2")}
    assert said("promtool", "check", "metrics", stdin=text) == ""


def test_a_window_that_cannot_be_judged_is_counted_apart(logged, exposed):
    logged.known = {}
    logged.predict(100)
    logged.look()
    assert samples(exposed())["mnist_monitor_windows_total"] == {("yes", "v1"): 0, ("no", "v1"): 1}


def test_an_alert_is_1_as_long_as_it_fires(logged, exposed):
    logged.predict(100, change=drifted)
    assert logged.look() == ["data drift of v1 fires"]
    firing = samples(exposed())["mnist_monitor_alert_firing"]
    assert firing == {(detector, "v1"): float(detector is Detector.DATA_DRIFT) for detector in Detector}
    levels = samples(exposed())["mnist_monitor_level"]
    assert len(levels) == len(Detector) * len(Level)
    assert {(detector, level) for (detector, level, _), value in levels.items() if value} == {
        ("data drift", "alert"),
        ("label shift", "too little data"),
        ("concept drift", "too little data"),
        ("accuracy", "too little data"),
    }
    logged.predict(200)
    logged.look()
    found = samples(exposed())
    assert set(found["mnist_monitor_alert_firing"].values()) == {0}
    assert found["mnist_monitor_level"][("data drift", "ok", "v1")] == 1
    assert found["mnist_monitor_alerts_total"] == {(): 1}


def test_results_grow_old_without_a_look(logged, exposed):
    logged.predict(100)
    logged.look()
    assert samples(exposed())["mnist_monitor_level"][("data drift", "ok", "v1")] == 1
    logged.now += HOUR + 20 * SECOND
    assert samples(exposed())["mnist_monitor_level"][("data drift", "too little data", "v1")] == 1


def test_a_retired_version_has_no_series(logged, exposed):
    logged.predict(100, change=drifted)
    logged.predict(100, version="v2")
    logged.look()
    assert "v1" in exposed()
    logged.now += HOUR
    logged.predict(100, version="v2")
    logged.look()
    assert "v1" in logged.state.streams
    assert {"v1", "v2"} & set(exposed().split('"')) == {"v2"}


def test_when_it_was_looked_and_that_it_failed(logged, exposed):
    found = samples(exposed(error="the log can't be read", looked=logged.now))
    assert found["mnist_monitor_last_look_timestamp_seconds"] == {(): logged.now / SECOND}
    assert found["mnist_monitor_failing"] == {(): 1}


def test_of_a_damaged_state_nothing_is_known_but_that(logged, tmp_path):
    path = tmp_path / "state.json"
    path.write_text("{}x")
    metrics = Metrics()
    metrics.register(MonitorCollector(Watcher("staging", path, 1), logged.params))
    found = samples(metrics.text().decode())
    assert {name: found[name] for name in found if name.startswith("mnist_monitor_")} == {
        "mnist_monitor_failing": {(): 1}
    }


def test_late_predictions_and_labels_are_counted(logged, exposed):
    ids = logged.predict(50)
    logged.look()
    logged.now -= 30 * SECOND
    logged.predict(3)
    logged.label(ids[:4])
    logged.look(40)
    found = samples(exposed())
    assert found["mnist_monitor_late_predictions_total"] == {(): 3}
    assert found["mnist_monitor_late_labels_total"] == {(): 4}


def test_a_hostile_version_stays_a_value(logged, exposed):
    name = 'v1"} 1\nmnist_monitor_failing 7\n# \\'
    logged.predict(100, version=name)
    logged.look()
    text = exposed()
    assert samples(text)["mnist_monitor_windows_total"] == {("yes", name): 0, ("no", name): 1}
    assert samples(text)["mnist_monitor_failing"] == {(): 0}
    assert said("promtool", "check", "metrics", stdin=text) == ""
