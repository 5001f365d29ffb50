"""Traffic to the service as it is, with a model that takes every image for a 0."""

import itertools
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from delivery.client import ServiceError
from delivery.log import LogError
from delivery.protection import RETRY_AFTER
from monitoring.sending import CONNECTIONS, SOURCE, Connection, Rhythm, Sender
from monitoring.simulated import Traffic, Trial
from tests import synthetic
from tests.delivery.service.asked import Stub
from tests.delivery.serving import serving, wait_until

DATA = synthetic.digits(100)


@pytest.fixture
def model():
    stub = Stub()
    stub.open.set()
    yield stub
    stub.open.set()


@pytest.fixture
def running(model, tmp_path):
    with serving(tmp_path, model) as service:
        yield service


@pytest.fixture
def sender(running):
    """Starts to send so many images to the service, clean ones first."""
    started = []

    def start(count=60, clean=0, **rhythm):
        traffic = Traffic(DATA, Trial("invert", clean=clean))
        started.append(Sender(str(running.client.base_url), None, traffic, Rhythm(2000, count, **rhythm)))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop()


def test_everything_is_sent_once_and_answered_and_some_of_it_labelled(running, sender):
    one = sender(clean=20, labels=0.5)
    assert one.join(60)
    expected = list(itertools.islice(Traffic(DATA, Trial("invert", clean=20)), 60))
    rows = running.logged(1000)
    labels = {picture.image.tobytes(): picture.label for picture in expected}

    assert sorted(image.tobytes() for image in rows.pixels) == sorted(labels)
    assert (one.tally.sent, one.tally.answered) == (60, {False: 20, True: 40})
    zeros = [sum(picture.label == 0 for picture in part) for part in (expected[:20], expected[20:])]
    assert one.tally.right == {False: zeros[0], True: zeros[1]}
    labelled = np.flatnonzero(rows.truths >= 0)
    assert 15 < len(labelled) == one.tally.labels < 45
    assert [labels[rows.pixels[row].tobytes()] for row in labelled] == rows.truths[labelled].tolist()
    assert {rows.sources[row] for row in labelled} == {SOURCE}


def test_the_same_seed_labels_the_same_images(running, sender):
    chosen = []
    for _ in range(2):
        assert sender(labels=0.3).join(60)
        rows = running.logged(60)
        chosen.append(sorted(rows.pixels[row].tobytes() for row in np.flatnonzero(rows.truths >= 0)))
    assert chosen[0] == chosen[1]


def test_a_service_that_answers_late_is_asked_all_the_same_but_not_without_end(running, sender, model):
    model.open.clear()
    one = sender()
    wait_until(lambda: running.service.load.requests == CONNECTIONS, "so many are under way")
    assert not one.join(0.1)
    assert (one.tally.sent, one.tally.answered.total()) == (CONNECTIONS, 0)
    wait_until(lambda: one.behind > 0.1, "it is late")
    model.open.set()
    assert one.join(60)
    assert one.tally.answered.total() == 60
    assert one.behind == 0


def test_a_refusal_is_counted_and_what_comes_next_waits_as_long_as_it_says(running, sender, monkeypatch):
    log = running.service.log

    def fails(write, times):
        left = iter(range(times))

        def written(*arguments):
            if next(left, None) is not None:
                raise LogError("the prediction log can't be written: disk full")
            return write(*arguments)

        return written

    monkeypatch.setitem(RETRY_AFTER, "retry-after", "0")
    monkeypatch.setattr(log, "append", fails(log.append, 5))
    monkeypatch.setattr(log, "feedback", fails(log.feedback, 3))
    one = sender(labels=1.0)
    assert one.join(60)
    assert one.tally.reason == "the prediction log can't be written: disk full"
    assert one.tally.refused >= 5  # of those that were scored together, all
    assert one.tally.sent == 60 == one.tally.refused + one.tally.answered.total()
    assert (one.tally.labels, one.error) == (one.tally.answered.total(), None)  # a label is sent again


def test_what_is_stopped_sends_no_labels_any_more(running, sender):
    one = sender(labels=1.0, delay=1000.0)
    assert not one.join(0.01)
    wait_until(lambda: one.tally.answered.total() == 60, "all is answered")
    one.stop()
    assert (one.tally.labels, one.error) == (0, None)


def test_a_service_that_goes_away_ends_it(model, tmp_path):
    with serving(tmp_path, model) as service:
        one = Sender(str(service.client.base_url), None, Traffic(DATA, Trial()), Rhythm(500))
        one.start()
        wait_until(lambda: one.tally.answered.total() > 20, "it has begun")
    assert one.join(60)
    assert isinstance(one.error, ServiceError)
    assert "/v1/predict: no answer (" in str(one.error)


def test_what_the_service_does_not_take_ends_it_with_its_reason(running, monkeypatch):
    wrong = Traffic(DATA, Trial())
    monkeypatch.setattr(wrong, "_data", DATA._replace(images=DATA.images[:, :27]))
    one = Sender(str(running.client.base_url), None, wrong, Rhythm(500))
    one.start()
    assert one.join(60)
    assert "/v1/predict: answers 422 " in str(one.error)


def test_a_connection_that_was_closed_while_nobody_used_it_is_made_again():
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")
            self.close_connection = True  # without a word about it

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        connection = Connection(f"http://127.0.0.1:{server.server_address[1]}", None)
        try:
            assert [connection.ask("/", {})[:2] for _ in range(3)] == [(200, [])] * 3
        finally:
            connection.close()
            server.shutdown()
            thread.join()
