"""The service as clients see it: every route with its answers, and what is in the log afterwards."""

import asyncio
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from fastapi import HTTPException
from starlette.requests import Request

from delivery.images import picture
from delivery.log import LogError, PredictionLog
from delivery.schema import SECOND, now
from delivery.slot import Loaded, SlotError
from delivery.smoke import Smoke
from digits.onnx_model import OnnxModel
from tests import synthetic
from tests.delivery.databases import Postgresql, scored
from tests.delivery.serving import body, placed, serving, wait_until
from tests.delivery.test_images import png, raw_png, seven

IMAGES = synthetic.digits(30, seed=3).images
JSON = "application/json"
UNKNOWN = "00000000-0000-7000-8000-000000000000"
TOKEN = "a secret of 24 letters.."


class Stub:
    """A source whose model answers when it may."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.error: Exception | None = None

    def load(self, _accuracy: float) -> Loaded:
        if self.error:
            raise self.error
        return Loaded("v0.0.1", "4996717", self, Smoke(True, 20, 20))

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        assert self.open.wait(20)
        return np.tile(np.float32([0.1] * 9 + [0.1]), (len(images), 1))


@pytest.fixture(scope="module")
def source(finished, tmp_path_factory):
    return placed(tmp_path_factory.mktemp("placed") / "models", finished)


@pytest.fixture(scope="module")
def running(source, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("service"), source) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(source, tmp_path_factory):
    """A service that asks for a token."""
    with serving(tmp_path_factory.mktemp("guarded"), source, token=TOKEN) as running:
        yield running


@pytest.fixture
def stub():
    stub = Stub()
    yield stub
    stub.open.set()


def predicted(running, *images) -> list[str]:
    """Ids of predictions."""
    answer = running.predict(body(*images), JSON)
    assert answer.status_code == 200, answer.text
    return [prediction["id"] for prediction in answer.json()["predictions"]]


def metric(running, line: str) -> float:
    """Value of a series, 0 where there is none yet."""
    found = re.search(rf"^{re.escape(line)} (\S+)$", running.client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0


def test_what_is_scored_is_what_is_logged_and_answered(running, source):
    answer = running.predict(body(*IMAGES), JSON)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers
    predictions = answer.json()["predictions"]
    expected = OnnxModel(source.folder / "model.onnx").probabilities(IMAGES)
    answered = np.array([prediction["probabilities"] for prediction in predictions], np.float32)
    rows = running.logged(len(IMAGES))

    assert rows.ids == [prediction["id"] for prediction in predictions]
    assert (rows.pixels == IMAGES).all()  # uint8 of 28 x 28 as they were sent
    assert (rows.probabilities == answered).all()
    np.testing.assert_allclose(answered, expected, rtol=0, atol=1e-6)
    assert rows.labels.tolist() == [prediction["label"] for prediction in predictions] == answered.argmax(1).tolist()
    assert set(rows.versions) == {answer.json()["version"]} == {"workspace"}
    assert set(rows.stages) == {"staging"}
    assert set(rows.truths) == {-1}


@pytest.mark.parametrize("kind", ["file", "form"])
def test_of_a_picture_its_form_is_logged(running, kind):
    content = png(seven(300, 200))
    if kind == "file":
        answer = running.predict(content, "image/png")
    else:
        answer = running.client.post("/v1/predict", files=[("image", ("digit.png", content, "image/png"))])
    assert answer.status_code == 200
    row = running.logged(1)
    assert row.ids == [answer.json()["predictions"][0]["id"]]
    assert (row.pixels[0] == picture(content, 100_000)).all()


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", JSON, 422),
        (b"[" * 100_000, JSON, 422),
        (body(), JSON, 422),
        (body(*IMAGES, *IMAGES, *IMAGES, *IMAGES[:11]), JSON, 422),
        (body(IMAGES[0][:27]), JSON, 422),
        (body(IMAGES[0] / 255), JSON, 422),
        (body(IMAGES[0], IMAGES[1].astype(int) - 256), JSON, 422),
        (b'{"image": NaN}', JSON, 422),
        (b'{"\xed\xa0\x80": 1}', JSON, 422),
        (b'{"\\ud800": 1}', JSON, 422),
        (b" " * 3_300_000, JSON, 413),
        (b" " * 10_000_001, "image/png", 413),
        (b"not a picture", "image/png", 422),
        (png(seven(60, 60))[:-20], "image/png", 422),
        (png(np.zeros((60, 60), np.uint8)), "image/jpeg", 422),
        (raw_png(100_000, 100_000, b""), "image/png", 413),
        (body(IMAGES[0]), "text/plain", 415),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422),
        (b"--y\r\n--x--", "multipart/form-data; boundary=x", 400),
    ],
)
def test_what_is_refused_is_refused_with_a_reason_and_not_logged(running, content, kind, status):
    before = running.count()
    answer = running.predict(content, kind)
    assert answer.status_code == status
    detail = answer.json()["detail"]
    if status == 422:
        assert all(set(finding) == {"loc", "msg", "type"} and finding["msg"] for finding in detail)
    else:
        assert isinstance(detail, str)
    assert len(answer.content) < 2000
    assert running.count() == before


def test_what_was_sent_is_not_sent_back(running):
    answer = running.predict(json.dumps({"x" * 100_000: 1}).encode(), JSON)
    assert answer.status_code == 422
    assert len(answer.content) < 500


def test_the_first_label_stays_until_it_is_corrected(running):
    (name,) = predicted(running, IMAGES[0])

    def send(label: int, **more: object) -> httpx.Response:
        return running.client.post("/v1/feedback", json={"id": name, "label": label, "source": "test"} | more)

    assert send(3).json() == {"status": "stored", "label": 3}
    assert send(3).json() == {"status": "same", "label": 3}
    conflict = send(4)
    assert (conflict.status_code, conflict.json()["detail"]) == (
        409,
        "the label on record is 3; set `correct` to replace it",
    )
    assert running.logged(1).truths.tolist() == [3]
    assert send(4, correct=True).json() == {"status": "corrected", "label": 4}
    row = running.logged(1)
    assert (row.ids, row.truths.tolist(), row.sources) == ([name], [4], ["test"])
    assert "127.0.0.1" not in row.clients[0]


def test_of_labels_at_the_same_time_one_is_the_first(running):
    (name,) = predicted(running, IMAGES[0])
    with ThreadPoolExecutor(8) as pool:
        send = lambda label: running.client.post("/v1/feedback", json={"id": name, "label": label})  # noqa: E731
        answers = list(pool.map(send, range(8)))
    stored = [answer.json()["label"] for answer in answers if answer.status_code == 200]
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert running.logged(1).truths.tolist() == stored


def test_a_label_for_what_was_never_predicted_is_refused(running):
    answer = running.client.post("/v1/feedback", json={"id": UNKNOWN, "label": 1})
    assert answer.status_code == 404
    assert answer.json() == {"detail": f"no prediction {UNKNOWN}: never made, or no longer in the log"}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b'{"id": "\\ud800", "label": 1}', 422),
        (b'{"\\ud800": 1}', 422),
        (b'{"id": 1, "label": NaN}', 422),
        (b"{", 422),
        (b"[" * 10_000, 400),
        (b'{"label": %s}' % (b"9" * 5000), 400),
        (b'"\xff"', 400),
        (b"[]" * 10_000, 413),
    ],
)
def test_feedback_that_is_none_is_refused(running, content, status):
    answer = running.client.post("/v1/feedback", content=content, headers={"content-type": JSON})
    assert answer.status_code == status
    assert answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/feedback", "/v1/admin/reload"])
def test_who_may_say_what_is_true_and_reload(running, guarded, path):
    (name,) = predicted(guarded, IMAGES[0])  # for which nobody needs a token
    content = {"id": name, "label": 1}
    for headers in ({}, {"authorization": "Bearer"}, {"authorization": f"Basic {TOKEN}"}, bearer("wrong"), bearer("ö")):
        answer = guarded.client.post(path, json=content, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json() == {"detail": "the token is missing or wrong"}
    assert guarded.client.post(path, json=content, headers=bearer(TOKEN)).status_code == 200
    foreign = {**bearer(TOKEN), "host": "mnist.example.org", "origin": "https://elsewhere.example.org"}
    assert guarded.client.post(path, json=content, headers=foreign).status_code == 200

    (name,) = predicted(running, IMAGES[0])
    assert running.client.post(path, json={"id": name, "label": 1}).status_code == 200


def bearer(token: str) -> dict[str, bytes]:
    return {"authorization": f"Bearer {token}".encode("latin-1")}


@pytest.mark.parametrize("path", ["/v1/feedback", "/v1/admin/reload"])
def test_without_a_token_pages_from_elsewhere_may_not(running, path):
    """By a name of theirs that resolves to this machine, or by this machine's name, which browsers let them ask."""
    (name,) = predicted(running, IMAGES[0])
    here = "{}:{}".format(*running.address)
    for headers in (
        {"host": "elsewhere.example.org"},
        {"host": f"elsewhere.example.org:{running.address[1]}", "origin": "http://elsewhere.example.org"},
        {"origin": "https://elsewhere.example.org"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "null"},
    ):
        answer = running.client.post(path, json={"id": name, "label": 1}, headers=headers)
        assert (answer.status_code, answer.json()["detail"]) == (
            403,
            "only from this machine, or set MNIST_ADMIN_TOKEN",
        )
    own = running.client.post(path, json={"id": name, "label": 1}, headers={"origin": f"http://{here}"})
    assert own.status_code == 200


@pytest.mark.parametrize("address", [("192.0.2.1", 1), ("2001:db8::1", 1), None])
def test_without_a_token_other_machines_may_not(running, address):
    scope = {"type": "http", "client": address, "headers": [(b"host", b"localhost")], "path": "/", "server": None}
    with pytest.raises(HTTPException, match="403"):
        asyncio.run(running.service.authorise(Request(scope), None))


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"])
def test_without_a_token_nobody_behind_a_proxy_of_this_machine_may(stub, tmp_path, header):
    stub.open.set()
    with serving(tmp_path, stub) as running:
        assert running.client.post("/v1/admin/reload").status_code == 200
        assert running.client.post("/v1/admin/reload", headers={header: "127.0.0.1"}).status_code == 403


def test_operators_see_that_it_lives_and_what_answers(running):
    assert running.client.get("/healthz").json() == {"status": "alive"}
    ready = running.client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {
        "ready": True,
        "stage": "staging",
        "version": "workspace",
        "commit": None,
        "smoke": {"passed": True, "images": 20, "right": ready.json()["smoke"]["right"]},
        "reason": None,
    }


def test_what_is_done_is_counted(running):
    series = 'mnist_requests_total{method="POST",route="/v1/predict",status="%d"}'
    before = [metric(running, series % status) for status in (200, 422)]
    predicted(running, *IMAGES[:3])
    running.predict(b"", JSON)
    assert [metric(running, series % status) for status in (200, 422)] == [value + 1 for value in before]
    assert metric(running, 'mnist_model{stage="staging",version="workspace"}') == 1
    assert metric(running, "mnist_waiting_requests") == 1  # that asks
    assert metric(running, "mnist_waiting_bytes") == 0
    assert metric(running, "mnist_queue_requests") == 0
    wait_until(lambda: metric(running, "mnist_log_bytes") > 10_000, "the log has been looked after")
    answer = running.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'route="other"' not in "".join(re.findall(".*v1.*", answer.text))


@pytest.mark.parametrize("path", ["/", "/theme.css", "/page.css", "/page.js", "/pad.js", "/client.js", "/docs.js"])
def test_the_page_brings_everything_along_and_runs_nothing_else(running, path):
    answer = running.client.get(path)
    assert answer.status_code == 200
    rules = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert {rules["script-src"], rules["style-src"], rules["connect-src"]} == {"'self'"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert re.findall(r"(?:src|href|url|import|fetch)\W{1,3}(?:https?:)?//", answer.text) == []


@pytest.mark.parametrize(
    "path", ["/v1/predict/", "/nothing", "/page.html", "/../params.yaml", "/%2e%2e/params.yaml", "/%00"]
)
def test_nothing_else_is_there(running, path):
    answer = running.client.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not Found"}


def test_every_answer_is_documented(running):
    paths = running.client.get("/openapi.json").json()["paths"]
    documented = {(path, method): set(what["responses"]) for path in paths for method, what in paths[path].items()}
    assert documented == {
        ("/v1/predict", "post"): {"200", "400", "408", "413", "415", "422", "503"},
        ("/v1/feedback", "post"): {"200", "400", "401", "403", "404", "408", "409", "413", "422", "503"},
        ("/v1/admin/reload", "post"): {"200", "401", "403", "408", "409", "413", "503"},
        ("/healthz", "get"): {"200"},
        ("/readyz", "get"): {"200", "503"},
        ("/metrics", "get"): {"200"},
    }


def test_without_a_model_nothing_is_predicted_until_one_can_be_loaded(stub, tmp_path):
    stub.error = SlotError("models/model.onnx: not found")
    stub.open.set()
    with serving(tmp_path, stub) as running:
        ready = running.client.get("/readyz")
        assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
        assert ready.json()["ready"] is False
        assert ready.json()["reason"] == "models/model.onnx: not found"
        answer = running.predict(body(IMAGES[0]), JSON)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json() == {"detail": "models/model.onnx: not found"}
        assert running.client.get("/healthz").status_code == 200
        refused = running.client.post("/v1/admin/reload")
        assert (refused.status_code, refused.json()["detail"]) == (409, "models/model.onnx: not found")
        assert running.count() == 0

        stub.error = None
        loaded = running.client.post("/v1/admin/reload")
        assert (loaded.status_code, loaded.json()) == (200, {"version": "v0.0.1", "commit": "4996717"})
        assert running.predict(body(IMAGES[0]), JSON).status_code == 200

        stub.error = SlotError("v0.0.2: the smoke test failed")
        assert running.client.post("/v1/admin/reload").status_code == 409
        assert running.client.get("/readyz").json()["version"] == "v0.0.1"


def test_too_many_requests_are_told_to_come_back_and_the_others_are_answered(stub, tmp_path):
    with serving(tmp_path, stub, max_waiting=8) as running, ThreadPoolExecutor(40) as pool:
        first = [pool.submit(running.predict, body(IMAGES[0]), JSON) for _ in range(8)]
        wait_until(lambda: running.service.load.requests == 8, "eight wait")
        others = list(pool.map(lambda _: running.predict(body(IMAGES[0]), JSON), range(30)))
        for answer in others:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        for path in ("/healthz", "/readyz", "/metrics"):
            assert running.client.get(path).status_code == 200
        stub.open.set()
        assert [future.result().status_code for future in first] == [200] * 8
        assert running.count() == 8
        assert metric(running, "mnist_waiting_requests") == 1


def test_bodies_that_are_large_together_are_not_taken_on(stub, tmp_path):
    stub.open.set()
    header = b"POST /v1/predict HTTP/1.1\r\nHost: here\r\nContent-Type: image/png\r\nContent-Length: 900000\r\n\r\n"
    with serving(tmp_path, stub, max_waiting_bytes=1_000_000) as running:
        half = running.connect(header + b"x" * 500_000)
        wait_until(lambda: metric(running, "mnist_waiting_bytes") == 900_000, "the first is under way")
        assert running.predict(bytes(200_000), "image/png").status_code == 503
        assert running.predict(body(IMAGES[0]), JSON).status_code == 200  # a small one
        half.close()
        wait_until(lambda: metric(running, "mnist_waiting_bytes") == 0, "it has gone away")
        series = 'mnist_requests_total{method="POST",route="/v1/predict",status="499"}'
        assert metric(running, series) == 1
        assert running.predict(bytes(200_000), "image/png").status_code == 422


def test_who_waits_too_long_is_told_so(stub, tmp_path):
    header = b"POST %s HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with serving(tmp_path, stub, timeout_seconds=0.3) as running:
        late = running.predict(body(IMAGES[0]), JSON)
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        assert late.json() == {"detail": "no answer in time; try again later"}
        for path in (b"/v1/predict", b"/v1/feedback"):
            with running.connect(header % path) as half, half.makefile("rb") as answer:
                assert answer.readline() == b"HTTP/1.1 408 Request Timeout\r\n"
                assert answer.read().endswith(b'{"detail":"the request took longer than 0.3 s to arrive"}')
        stub.open.set()
        wait_until(lambda: running.predict(body(IMAGES[0]), JSON).status_code == 200, "it answers again")


def test_labels_that_wait_for_the_log_take_one_thread(source, tmp_path):
    """However many they are, and though their senders have given up."""
    with serving(tmp_path, source, timeout_seconds=0.3) as running:
        (name,) = predicted(running, IMAGES[0])
        before = threading.active_count()
        with running.service.log.writing, ThreadPoolExecutor(20) as pool:
            label = {"id": name, "label": 1}
            answers = list(pool.map(lambda _: running.client.post("/v1/feedback", json=label).status_code, range(60)))
            threads = threading.active_count() - 20
        assert set(answers) == {503}
        assert threads <= before + 1
        wait_until(lambda: running.client.post("/v1/feedback", json=label).status_code == 200, "the log is free")


def test_on_postgresql_it_answers_logs_and_learns_as_on_sqlite(stub, postgresql, tmp_path):
    stub.open.set()
    database = Postgresql(postgresql)
    with serving(tmp_path, stub, log_url=database.url) as running:
        names = predicted(running, *IMAGES[:3])
        database.disconnect()  # the server was started anew
        names += predicted(running, IMAGES[3])
        label = {"id": names[0], "label": 3}
        statuses = [running.client.post("/v1/feedback", json=label | {"label": n}).status_code for n in (3, 3, 4)]
        assert statuses == [200, 200, 409]
        assert running.client.post("/v1/feedback", json=label | {"id": UNKNOWN}).status_code == 404
        wait_until(lambda: metric(running, "mnist_log_bytes") >= 0, "the log has been looked after")
        rows = running.logged(10)
    assert (rows.ids, rows.truths.tolist()) == (names, [3, -1, -1, -1])
    assert (rows.pixels == IMAGES[:4]).all()
    assert database.execute("SELECT count(*) FROM predictions") == [(4,)]


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        ({"retention_days": 2.0}, range(1, 2)),
        ({"retention_days": 4.0}, range(1501, 1502)),
        ({"log_max_bytes": 1_000_000}, range(500, 1300)),
    ],
)
def test_the_log_is_kept_within_the_limits_of_the_params(stub, tmp_path, monkeypatch, limit, kept):
    log = PredictionLog(f"sqlite:///{tmp_path}/log.db", "staging")
    with monkeypatch.context() as patch:
        patch.setattr("delivery.log.now", lambda: now() - 3 * 86_400 * SECOND)
        for _ in range(3):
            log.append(scored(500))
    log.append(scored())
    log.close()
    with serving(tmp_path, stub, **limit) as running:
        wait_until(lambda: metric(running, "mnist_log_bytes") > 0, "the log has been looked after")
        assert running.count() in kept


def test_what_cannot_be_logged_is_not_answered(source, tmp_path, monkeypatch):
    def fails(*_arguments: object, **_more: object) -> None:
        raise LogError("the prediction log can't be written: disk full")

    with serving(tmp_path, source) as running:
        (name,) = predicted(running, IMAGES[0])
        monkeypatch.setattr(running.service.log, "append", fails)
        monkeypatch.setattr(running.service.log, "feedback", fails)
        for answer in (
            running.predict(body(IMAGES[0]), JSON),
            running.client.post("/v1/feedback", json={"id": name, "label": 1}),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json() == {"detail": "the prediction log can't be written: disk full"}


def test_what_was_under_way_is_answered_before_the_end(stub, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        with serving(tmp_path, stub) as running:
            waiting = [pool.submit(running.predict, body(IMAGES[0]), JSON) for _ in range(4)]
            wait_until(lambda: running.service.load.requests == 4, "four wait")
            threading.Timer(0.2, stub.open.set).start()
        assert [future.result().status_code for future in waiting] == [200] * 4
