import dataclasses

import pytest

from delivery.metrics import Metrics
from delivery.schema import SECOND
from monitoring import dispatches
from monitoring.alerts import Alert, Alerts
from monitoring.dispatches import Dispatch, Dispatches
from monitoring.due import Key
from monitoring.result import Detector, Result
from monitoring.retraining_metrics import RetrainingCollector
from monitoring.state import State
from tests.monitoring.test_exposition import Watched, samples
from tests.prometheus.programs import said

RESULT = Result(Detector.ACCURACY, "test", 9.0, 1e-6, 100, 0.5, "effect")
ALERT = Alert(3, Detector.ACCURACY, "v0.1.0", 5, 5, RESULT)
ONE = Dispatch((Key.of(ALERT),), "alert 3", 6, "feedback/1", "c" * 40, sent=True)
NAME = "mnist_monitor_retraining"


@pytest.fixture
def exposed(tmp_path):
    """What is said of an alert and of what is noted, or of a file with such a content; by name without the prefix."""

    def found(known: Dispatches | str, alert: Alert = ALERT) -> dict[str, dict[tuple[str, ...], float]]:
        path = tmp_path / "retraining.json"
        if isinstance(known, str):
            path.write_text(known)
        else:
            dispatches.write(path, known)
        metrics = Metrics()
        metrics.register(RetrainingCollector(Watched(State(alerts=Alerts(alerts=(alert,)))), path))
        text = metrics.text().decode()
        assert said("promtool", "check", "metrics", stdin=text) == ""
        return {name[len(NAME) :]: value for name, value in samples(text).items() if name.startswith(NAME)}

    return found


def noted(**changes: object) -> Dispatches:
    return Dispatches().with_(dataclasses.replace(ONE, **changes))


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [("", "pending"), ("pending", "pending"), ("success", "success"), ("failure", "failure"), ("lost", "lost")],
)
def test_what_came_of_it_is_told_as_long_as_the_alert_fires(exposed, outcome, shown):
    assert exposed(noted(outcome=outcome)) == {"": {("accuracy", shown, "v0.1.0"): 1}, "_failing": {(): 0}}
    over = dataclasses.replace(ALERT, resolved=9)
    for other in (over, dataclasses.replace(ALERT, number=4)):
        assert exposed(noted(outcome=outcome), other) == {"_failing": {(): 0}}


def test_of_what_was_not_started_and_where_nothing_was_nothing_is_told(exposed):
    assert exposed(noted(sent=False)) == exposed(Dispatches()) == {"_failing": {(): 0}}


def test_who_looks_again_and_again_is_seen_and_whether_he_fails(exposed):
    looking = Dispatches(looked=7 * SECOND, every=60)
    times = {"_last_look_timestamp_seconds": {(): 7}, "_look_interval_seconds": {(): 60}}
    assert exposed(looking) == times | {"_failing": {(): 0}}
    assert exposed(dataclasses.replace(looking, error="HTTP 502")) == times | {"_failing": {(): 1}}
    assert exposed(dataclasses.replace(looking, every=None)) == {"_failing": {(): 0}}  # he has ended it


def test_notes_that_cannot_be_read_are_told(exposed):
    assert exposed("damaged") == {"_failing": {(): 1}}
