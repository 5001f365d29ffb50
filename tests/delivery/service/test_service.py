"""The service as clients see it: every route with its answers, and what is in the log afterwards."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from delivery.images import picture
from digits.onnx_model import OnnxModel
from tests.delivery.pictures import png, raw_png, seven
from tests.delivery.service.asked import IMAGES, JSON, UNKNOWN, metric, predicted
from tests.delivery.serving import body, wait_until


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
