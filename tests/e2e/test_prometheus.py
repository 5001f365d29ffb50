"""From traffic to a message: service, monitor, Prometheus, Alertmanager and a webhook, all of them real."""

import dataclasses
import re
import shutil
import signal
import time

import httpx
import numpy as np
import pytest

from digits.storage import read_arrays
from monitoring.shifts import rotated
from tests.e2e.project import ROOT, Project, wait_for
from tests.e2e.service import started
from tests.prometheus import dashboard
from tests.prometheus.running import PAGE, Prometheus, Told, alertmanager, prometheus, read, receiving

pytestmark = pytest.mark.e2e

PATIENCE = 60
VARIABLES = {"stage": "production", "version": ".*", "__rate_interval": "1m"}
METRIC = re.compile(r"\b(?:mnist|process)_\w+")
MODEL = ("MnistAccuracyLow", "MnistConceptDrift", "MnistDataDrift", "MnistLabelShift")


class Sender:
    """Sends the traffic that is no reference, and labels."""

    def __init__(self, url: str, images: np.ndarray) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=20)
        self._images, self._next = images, 0

    def send(self, count: int, degrees: float = 0) -> list[tuple[str, int]]:
        """Ids of so many predictions, and what was predicted; between two requests there is time for a scrape."""
        sent: list[tuple[str, int]] = []
        while len(sent) < count:
            part = slice(self._next, self._next + 50)
            self._next += 50
            images = rotated(self._images[part], degrees) if degrees else self._images[part]
            answer = self._client.post("/v1/predict", json={"images": images.tolist()})
            assert answer.status_code == 200, answer.text
            sent += [(prediction["id"], prediction["label"]) for prediction in answer.json()["predictions"]]
            time.sleep(0.2)
        return sent

    def label(self, sent: list[tuple[str, int]], wrong: bool = False) -> None:
        """Say that they were right, or that they were not."""
        for key, label in sent:
            body = {"id": key, "label": (label + wrong) % 10, "source": "test"}
            assert self._client.post("/v1/feedback", json=body).status_code == 200

    def close(self) -> None:
        self._client.close()


@dataclasses.dataclass
class Story:
    """What was seen while it happened."""

    told: Told
    service: str
    printed: str  # by amtool, while alerts fired
    before: list[str]  # names of alerts by the time when clean traffic had been judged
    answers: dict[str, int]  # series that each expression of the dashboard had while alerts fired
    names: set[str]  # of all series
    health: set[str]  # of the rules
    metrics: str


@pytest.fixture(scope="module")
def story(pulled, tmp_path_factory):
    """Clean traffic, rotated traffic with wrong labels, clean traffic with right ones; then the service is killed."""
    place = Project(tmp_path_factory.mktemp("place"), pulled.env)
    shutil.copy(pulled / "params.yaml", place.path)
    shutil.copytree(pulled / "models", place / "models")
    place.set(monitoring__look_seconds=0.3, monitoring__settle_seconds=0.2)
    (images,) = read_arrays(pulled / "data/traffic.npz", "images")
    command = ["python", "-m", "monitoring.serve", "--port", "0"]
    with (
        receiving() as (told, receiver),
        alertmanager(place.path, receiver) as telling,
        started(command, place.path, place.env, place / "log") as service,
    ):
        url = service.ready()
        with prometheus(place.path, url, telling) as collected:
            sender = Sender(url, images)
            try:
                yield play(sender, collected, told, url, lambda: service.end(signal.SIGKILL))
            finally:
                sender.close()


def play(sender: Sender, collected: Prometheus, told: Told, url: str, kill) -> Story:
    def told_of(status: str, *names: str) -> None:
        wait_for(lambda: all(told.alerts(name, status) for name in names), PATIENCE)

    sent = sender.send(300)
    wait_for(lambda: seen(collected, 'mnist_monitor_windows_total{judged="yes"}') >= 3, PATIENCE)
    sender.label(sent[:250])
    wait_for(lambda: seen(collected, "mnist_monitor_labelled_predictions_total") >= 250, PATIENCE)
    before = [alert["labels"]["alertname"] for _, message in told.messages for alert in message["alerts"]]
    sender.label(sender.send(100, degrees=30)[:40], wrong=True)
    told_of("firing", "MnistDataDrift", "MnistConceptDrift")
    asked = [expression for _, expression in dashboard.expressions(dashboard.read(), VARIABLES)]
    answers = {expression: len(collected.query(expression)) for expression in asked}
    printed, names = collected.firing(), set(collected.ask("label/__name__/values"))
    health = {rule["health"] for group in collected.ask("rules")["groups"] for rule in group["rules"]}
    metrics = httpx.get(f"{url}/metrics", trust_env=False).text
    sender.label(sender.send(300))
    told_of("resolved", "MnistDataDrift", "MnistConceptDrift")
    kill()
    told_of("firing", "MnistServiceDown")
    return Story(told, url, printed, before, answers, names, health, metrics)


def seen(collected: Prometheus, expression: str) -> float:
    return sum(float(series["value"][1]) for series in collected.query(expression))


def test_clean_traffic_is_not_told_of(story):
    assert not set(story.before) & set(MODEL)


@pytest.mark.parametrize(
    ("name", "receiver", "detector", "advice"),
    [
        ("MnistDataDrift", "team", "data drift", "have some of them labelled (POST /v1/feedback)"),
        ("MnistConceptDrift", "page", "concept drift", "make rollback STAGE=production"),
    ],
)
def test_a_drift_is_told_to_whom_it_concerns_with_what_to_do_and_that_it_is_over(
    story, name, receiver, detector, advice
):
    (sent_to, alert), *_ = story.told.alerts(name, "firing")
    address = story.service.removeprefix("http://")
    assert sent_to == receiver
    assert alert["labels"] == {
        "alertname": name,
        "severity": {"team": "warning", "page": "critical"}[receiver],
        "detector": detector,
        "version": "workspace",
        "stage": "production",
        "instance": address,
        "job": "mnist",
    }
    assert alert["annotations"]["summary"].startswith("workspace in production ")
    assert f"http://{address}/dashboard" in alert["annotations"]["description"]
    assert advice in alert["annotations"]["description"]
    (told_to, resolved), *_ = story.told.alerts(name, "resolved")
    assert (told_to, resolved["labels"]) == (sent_to, alert["labels"])


def test_amtool_prints_what_the_readme_shows(story):
    (shown,) = re.findall(r"^\$ amtool .*\n((?:\w.*\n)+)", PAGE, re.MULTILINE)
    lines = [re.sub(r" +\d{4}-\d\d-\d\d .+? UTC ", "", line).split() for line in (shown + story.printed).splitlines()]
    expected, printed = lines[: len(shown.splitlines())], lines[len(shown.splitlines()) :]
    assert [line for line in expected if line not in printed] == []


def test_what_belongs_to_one_version_is_one_message(story):
    groups = [message["groupLabels"] for receiver, message in story.told.messages if receiver in ("page", "team")]
    assert {"stage": "production", "version": "workspace"} in groups


def test_a_service_that_is_down_is_told_of(story):
    (sent_to, alert), *_ = story.told.alerts("MnistServiceDown", "firing")
    assert sent_to == "page"
    assert "make serve STAGE=production" in alert["annotations"]["description"]


def test_everything_on_the_dashboard_shows_something(story):
    # A change of version is shown for a minute only.
    assert [asked for asked, found in story.answers.items() if not found and " offset " not in asked] == []


def test_every_metric_that_rules_and_dashboard_name_is_one_of_the_service_s(story):
    rules = [rule for group in read("rules.yml")["groups"] for rule in group["rules"]]
    asked = [expression for _, expression in dashboard.expressions(dashboard.read(), VARIABLES)]
    asked += [text for rule in rules for text in (rule["expr"], *rule["annotations"].values())]
    named = {name for text in asked for name in METRIC.findall(text)}
    assert len(named) > 20
    # These are there once a retraining was looked for: tests/monitoring/test_retraining_metrics.py.
    retraining = set(METRIC.findall((ROOT / "monitoring/retraining_metrics.py").read_text()))
    assert named - story.names <= retraining
    for name in named - retraining:
        assert re.search(rf"^{name}(?:{{| )", story.metrics, re.MULTILINE), name


def test_of_a_service_that_is_down_nothing_else_is_told(tmp_path):
    here, elsewhere = ({"stage": "production", "instance": name, "severity": "critical"} for name in ("a:1", "b:1"))
    alerts = [
        {"alertname": "MnistServiceDown", **here},
        *({"alertname": "MnistConceptDrift", **of} for of in (here, elsewhere)),
    ]
    with (
        receiving() as (told, receiver),
        alertmanager(tmp_path, receiver) as address,
        httpx.Client(base_url=f"http://{address}/api/v2", trust_env=False, timeout=20) as client,
    ):
        assert client.post("/alerts", json=[{"labels": labels} for labels in alerts]).status_code == 200
        wait_for(lambda: len(told.messages) >= 1 and len(told.alerts("MnistConceptDrift", "firing")) >= 1, PATIENCE)
        states = {
            (alert["labels"]["alertname"], alert["labels"]["instance"]): alert["status"]["state"]
            for alert in client.get("/alerts").json()
        }
    assert states == {
        ("MnistServiceDown", "a:1"): "active",
        ("MnistConceptDrift", "a:1"): "suppressed",
        ("MnistConceptDrift", "b:1"): "active",
    }
    assert {alert["labels"]["instance"] for _, alert in told.alerts("MnistConceptDrift", "firing")} == {"b:1"}


def test_every_rule_was_evaluated(story):
    assert story.health == {"ok"}
