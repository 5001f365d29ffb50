"""The page while the service has no model, too much to do, or is not there."""

import signal
import socket
from urllib.parse import urlsplit

import pytest

from tests.browser.drawing import by_mouse, serving
from tests.e2e.drawing_page.shown import VERSION, count, read

pytestmark = pytest.mark.e2e


def test_without_a_model_it_says_so_and_reads_once_there_is_one(opened, models, tmp_path):
    with serving(tmp_path) as service:
        page = opened(service, expected="503 (Service Unavailable)")
        page.get_by_text("there is no model to serve; bring one with `make promote`").wait_for()
        by_mouse(page, 7)  # read later
        service.place("v0.3.0", models)
        service.load()
        read(page, 7)
        assert page.locator("#notice").is_hidden()
        assert page.inner_text("#version") == "v0.3.0"

        service.place("v0.4.0", models)  # while the page is open
        service.load()
        page.get_by_role("button", name="Undo").click()
        by_mouse(page, 1)
        read(page, 1)
        assert page.inner_text("#version") == "v0.4.0"


def test_overload_is_shown_and_the_newest_drawing_read_afterwards(opened, models, tmp_path):
    with serving(tmp_path, max_waiting=6, timeout_seconds=100) as service:
        service.place(VERSION, models)
        service.load()
        page = opened(service, expected="503 (Service Unavailable)")
        page.locator("#stage", has_text="production").wait_for()
        statuses = []
        page.on("response", lambda response: statuses.append(response.status))
        address = urlsplit(service.url)
        half = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\n"
        held = [socket.create_connection((address.hostname, address.port)) for _ in range(6)]
        for connection in held:
            connection.sendall(half)
        by_mouse(page, 3)
        page.get_by_text("No answer yet: too many requests are waiting; try again later. Trying again").wait_for()
        page.get_by_role("button", name="Clear").click()
        by_mouse(page, 7)
        for connection in held:
            connection.close()
        read(page, 7)
        assert page.locator("#notice").is_hidden()
        assert statuses.count(503) > 0
        assert statuses.count(200) == count(service)


def test_a_service_that_is_slow_or_gone_is_waited_for(opened, models, tmp_path):
    with serving(tmp_path) as service:
        service.place(VERSION, models)
        service.load()
        port = urlsplit(service.url).port
        page = opened(service, expected="ERR_")
        page.locator("#stage", has_text="production").wait_for()
        service.process.send_signal(signal.SIGSTOP)
        by_mouse(page, 3)
        page.get_by_text("Still waiting for an answer").wait_for()
        page.get_by_role("button", name="Clear").click()
        service.process.send_signal(signal.SIGCONT)
        page.locator("#notice").wait_for(state="hidden")
        assert page.inner_text("#digit") == "?"  # the late answer is to what is no longer there
        by_mouse(page, 7)
        read(page, 7)
    page.get_by_role("button", name="Clear").click()
    by_mouse(page, 3)
    page.get_by_text("No answer yet: the service can't be reached. Trying again").wait_for()
    page.get_by_role("button", name="Clear").click()
    by_mouse(page, 1)
    with serving(tmp_path, port=port):
        read(page, 1)
        assert page.locator("#notice").is_hidden()
