"""A service with too much to do, or none to do it with: what waits, what is told to come back, and what ends."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from delivery.slot import SlotError
from tests.delivery.pictures import png, seven
from tests.delivery.service.asked import IMAGES, JSON, metric, predicted
from tests.delivery.serving import PARAMS, body, serving, wait_until


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
        half = running.connect(header + b"x" * 850_000)
        wait_until(lambda: metric(running, "mnist_waiting_bytes") == 850_000, "the first is under way")
        assert running.predict(bytes(200_000), "image/png").status_code == 503
        assert running.predict(body(IMAGES[0]), JSON).status_code == 200  # a small one
        half.close()
        wait_until(lambda: metric(running, "mnist_waiting_bytes") == 0, "it has gone away")
        series = 'mnist_requests_total{method="POST",route="/v1/predict",status="499"}'
        assert metric(running, series) == 1
        assert running.predict(bytes(200_000), "image/png").status_code == 422


@pytest.mark.parametrize("length", [b"Content-Length: %d" % PARAMS.max_request_bytes, b"Transfer-Encoding: chunked"])
def test_who_sends_a_header_alone_takes_no_room(stub, tmp_path, length):
    """As many as would fill it if they went on, and twice as many again; with the limits as they are."""
    stub.open.set()
    header = b"POST /v1/predict HTTP/1.1\r\nHost: here\r\nContent-Type: image/png\r\n%s\r\n\r\n" % length
    with serving(tmp_path, stub) as running, contextlib.ExitStack() as idle:
        count = 3 * PARAMS.max_waiting_bytes // PARAMS.max_request_bytes
        for _ in range(count):
            idle.enter_context(running.connect(header))
        wait_until(lambda: running.service.load.requests == count, "all are under way")
        assert running.predict(body(IMAGES[0]), JSON).status_code == 200
        assert running.predict(png(seven(90, 60)), "image/png").status_code == 200
        assert metric(running, "mnist_waiting_bytes") == 0


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


def test_what_was_under_way_is_answered_before_the_end(stub, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        with serving(tmp_path, stub) as running:
            waiting = [pool.submit(running.predict, body(IMAGES[0]), JSON) for _ in range(4)]
            wait_until(lambda: running.service.load.requests == 4, "four wait")
            threading.Timer(0.2, stub.open.set).start()
        assert [future.result().status_code for future in waiting] == [200] * 4
