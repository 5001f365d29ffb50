"""What Prometheus collects."""

import math

import numpy as np
import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from delivery.log import Scored
from delivery.metrics import Answered, Metrics


@pytest.fixture
def metrics():
    return Metrics()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Of the one sample with these labels."""
    families = text_string_to_metric_families(metrics.text().decode())
    found = [s.value for family in families for s in family.samples if (s.name, s.labels) == (name, labels)]
    assert len(found) <= 1
    return found[0] if found else None


def test_requests_are_counted_by_route_and_status(metrics):
    for status, seconds in ((200, 0.002), (200, 0.3), (422, 0.001)):
        metrics.request("POST", "/v1/predict", status, seconds)
    labels = {"method": "POST", "route": "/v1/predict"}
    assert value(metrics, "mnist_requests_total", **labels, status="200") == 2
    assert value(metrics, "mnist_requests_total", **labels, status="422") == 1
    assert value(metrics, "mnist_request_seconds_count", route="/v1/predict") == 3
    assert value(metrics, "mnist_request_seconds_bucket", route="/v1/predict", le="0.1") == 2


def test_predictions_are_counted_by_version_and_label(metrics):
    pixels, probabilities = np.zeros((3, 28, 28), np.uint8), np.zeros((3, 10), np.float32)
    metrics.batch(Scored("v0.0.1", pixels, probabilities, [7, 7, 1]))
    assert value(metrics, "mnist_predictions_total", version="v0.0.1", label="7") == 2
    assert value(metrics, "mnist_predictions_total", version="v0.0.1", label="1") == 1
    assert value(metrics, "mnist_batch_images_sum") == 3
    assert value(metrics, "mnist_batch_images_count") == 1


def test_feedback_is_counted_by_what_became_of_it(metrics):
    metrics.feedback("stored")
    metrics.feedback("conflict")
    metrics.feedback("stored")
    assert value(metrics, "mnist_feedback_total", status="stored") == 2


def test_one_version_answers(metrics):
    metrics.model("production", "v0.0.1")
    metrics.model("production", "v0.0.2")
    assert value(metrics, "mnist_model", stage="production", version="v0.0.2") == 1
    assert value(metrics, "mnist_model", stage="production", version="v0.0.1") is None


def test_what_is_measured_is_asked_at_each_collection(metrics):
    answers = iter([1, 2])
    metrics.measure("mnist_sizes", "Sizes", lambda: next(answers))
    assert value(metrics, "mnist_sizes") == 1
    assert value(metrics, "mnist_sizes") == 2


def test_what_cannot_be_measured_does_not_take_the_rest_along(metrics):
    metrics.measure("mnist_log_bytes", "What the log takes", lambda: 1 / 0)
    metrics.feedback("stored")
    assert math.isnan(value(metrics, "mnist_log_bytes"))
    assert value(metrics, "mnist_feedback_total", status="stored") == 1


def test_the_process_is_measured_and_when_series_began_is_not(metrics):
    metrics.feedback("stored")
    text = metrics.text().decode()
    assert "process_resident_memory_bytes" in text
    assert "_created" not in text


def test_two_services_of_one_process_count_apart(metrics):
    metrics.feedback("stored")
    assert value(Metrics(), "mnist_feedback_total", status="stored") is None


def test_what_one_route_answered_is_what_prometheus_is_told(metrics):
    for status, seconds in ((200, 0.002), (200, 0.3), (503, 99)):
        metrics.request("POST", "/v1/predict", status, seconds)
    metrics.request("GET", "/", 200, 0.001)
    found = metrics.answered("/v1/predict")
    assert found.statuses == {200: 2, 503: 1}
    for bound, answers in found.within.items():
        assert (
            value(metrics, "mnist_request_seconds_bucket", route="/v1/predict", le=str(bound).replace("inf", "+Inf"))
            == answers
        )
    assert list(found.within) == sorted(found.within)
    assert (found.within[0.0025], found.within[10.0], found.within[math.inf]) == (1, 2, 3)
    assert metrics.answered("/nothing") == Answered({}, {})


class Collected(Collector):
    """A collector of somebody else's, which may fail."""

    failure: Exception | None = None

    def collect(self):
        yield GaugeMetricFamily("mnist_others", "Of somebody else", 7)
        if self.failure:
            raise self.failure


def test_a_collector_that_is_registered_is_asked_at_each_collection(metrics):
    collected = Collected()
    metrics.register(collected)
    assert value(metrics, "mnist_others") == 7


def test_one_that_fails_is_left_out_and_said_once(metrics, capsys):
    collected = Collected()
    metrics.register(collected)
    metrics.feedback("stored")
    for failure, told in ((OSError("no file"), 1), (OSError("no file"), 0), (None, 0), (OSError("no file"), 1)):
        collected.failure = failure
        assert value(metrics, "mnist_others") == (None if failure else 7)
        assert value(metrics, "mnist_feedback_total", status="stored") == 1
        assert capsys.readouterr().err == told * "error: some figures are missing from /metrics: OSError('no file')\n"
