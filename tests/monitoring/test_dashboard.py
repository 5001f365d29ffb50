"""The dashboard's routes, in front of the service's own application."""

import dataclasses
import json
from types import SimpleNamespace

import httpx
import pytest
import sqlalchemy as sa

from delivery.log import as_bytes
from delivery.schema import PREDICTIONS, SECOND, LogError, now
from delivery.service import create_app
from delivery.settings import DeliveryParams, ServiceSettings
from delivery.slot import Source
from digits.params import load
from monitoring.dashboard import PAGE, SCRIPTS, Cache, add_dashboard
from monitoring.latency import Latency
from monitoring.spans import SPANS
from monitoring.state import StateError
from tests.delivery.serving import answering
from tests.monitoring.logged import ROOT

DELIVERY = load(DeliveryParams, "delivery", ROOT / "params.yaml")


class Damaged:
    """A watcher whose state can't be read."""

    error = "logs/staging-monitoring.json: not monitoring's state"

    @property
    def state(self):
        raise StateError(self.error)


def served(logged, tmp_path, watched=None, token=None):
    settings = ServiceSettings("staging", "127.0.0.1", 0, tmp_path, str(logged.log.engine.url), token)
    app = create_app(DELIVERY, settings, Source(tmp_path / "none"))
    latency = Latency(lambda: app.state.service.metrics.answered("/v1/predict"), tmp_path / "latency.json")
    add_dashboard(app, watched or SimpleNamespace(state=logged.state, error=""), logged.params, latency)
    return answering(app, dataclasses.replace(DELIVERY, retention_days=1e6))


def test_the_page_and_its_figures(logged, tmp_path, monkeypatch):
    logged.predict(250)
    logged.look()
    monkeypatch.setattr("monitoring.dashboard.now", lambda: logged.now)
    monkeypatch.setattr("delivery.retention.now", lambda: logged.now)
    with served(logged, tmp_path) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        for path in (
            "/dashboard",
            "/dashboard/dashboard.css",
            *(f"/dashboard/{name}" for name in (*SCRIPTS, "live.js")),
        ):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "script-src 'self'; style-src 'self'" in answer.headers["content-security-policy"]
        answer = client.get("/dashboard.json")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        told = answer.json()
        assert (told["stage"], told["span"], told["versions"][0]["predictions"]) == ("staging", "1h", 250)
        assert told["answers"] == {"since": None, "periods": []}
        assert [client.get(f"/dashboard.json?span={span}").json()["span"] for span in SPANS] == list(SPANS)
        answer = client.get("/dashboard.json?span=1y")
        assert (answer.status_code, answer.json()["detail"]) == (422, "span: expected one of 15m, 1h, 6h, 24h, 7d")
        for header in (
            {"host": "elsewhere.example"},
            {"x-forwarded-for": "10.0.0.1"},
            {"origin": "http://evil.example"},
        ):
            assert client.get("/dashboard.json", headers=header).status_code == 403


def test_with_a_token_the_page_tells_nothing_without_it(logged, tmp_path):
    with served(logged, tmp_path, Damaged(), "sesame") as (host, port), httpx.Client() as client:
        client.base_url = f"http://{host}:{port}"
        assert client.get("/dashboard").status_code == 200
        assert client.get("/dashboard.json").status_code == 401
        assert client.get("/dashboard.json", headers={"authorization": "Bearer guessed"}).status_code == 401
        answer = client.get("/dashboard.json", headers={"authorization": "Bearer sesame"})
        assert answer.status_code == 200
        assert answer.json()["looked"]["error"] == Damaged.error


def test_a_log_that_can_t_be_read_is_said(logged, tmp_path):
    with served(logged, tmp_path) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        client.get("/healthz")
        with logged.log.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE predictions RENAME TO gone")
        answer = client.get("/dashboard.json")
        assert (answer.status_code, answer.json()["detail"]) == (
            503,
            "the prediction log can't be read: no such table: predictions",
        )


def test_a_row_that_another_program_has_changed_is_said(logged, tmp_path):
    logged.now = now() - 60 * SECOND
    ids = logged.predict(3)
    with logged.log.engine.begin() as connection:
        connection.execute(sa.update(PREDICTIONS).where(PREDICTIONS.c.id == as_bytes(ids[1])).values(label=11))
    with served(logged, tmp_path) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        answer = client.get("/dashboard.json")
        assert (answer.status_code, answer.json()["detail"]) == (
            503,
            f"prediction {ids[1]} has label 11 and true label None, not of 0 to 9: another program has changed "
            "the log; remove that row",
        )


def test_figures_are_gathered_for_a_twentieth_of_the_time_at_most():
    time, gathered = 0.0, []

    def gather(span):
        nonlocal time
        time += 3
        gathered.append(span)
        return f"{span} {len(gathered)}".encode()

    cache = Cache(gather, lambda: time)
    assert (cache("1h"), cache("1h")) == (b"1h 1", b"1h 1")
    time += 59
    assert cache("1h") == b"1h 1"
    time += 1
    assert cache("1h") == b"1h 2"
    assert cache("6h") == b"6h 3"


def test_who_asks_while_figures_are_gathered_gets_those_that_are_there():
    def gather(span):
        return cache(span) + b" again" if cache._kept else b"first"

    cache = Cache(gather, iter([0.0, 0.0, 1000.0, 1000.0]).__next__)
    assert cache("1h") == b"first"
    assert cache("1h") == b"first again"


def test_what_fails_is_tried_again():
    answers = iter([LogError("it is locked"), b"figures"])

    def gather(_span):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    cache = Cache(gather)
    with pytest.raises(LogError):
        cache("1h")
    assert cache("1h") == b"figures"


def test_nothing_that_others_wrote_is_ever_read_as_html():
    sources = {path.name: path.read_text() for path in PAGE.glob("*.js")}
    assert set(sources) == {*SCRIPTS, "live.js", "saved.js"}
    for source in sources.values():
        for way in (
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "Function(",
            "parseFromString",
        ):
            assert way not in source
    assert json.dumps(sources).count("http") == json.dumps(sources).count("http://www.w3.org/2000/svg")
