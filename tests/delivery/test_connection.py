"""One TCP connection, and what a client may do with it: nothing for ever, and nothing without an end."""

import json
import socket
import time

import pytest
from fastapi import FastAPI, Request, Response

from delivery import connection
from tests.delivery.serving import answering

GET = b"GET /short HTTP/1.1\r\nHost: here\r\n\r\n"
LONG = b"GET /long HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /read HTTP/1.1\r\nHost: here\r\nContent-Type: text/plain\r\n"
BYTES = 20_000_000  # of a long answer: more than the kernel takes when nobody reads


@pytest.fixture(scope="module")
def address():
    app = FastAPI()

    @app.get("/short")
    async def short() -> str:
        return "short"

    @app.get("/long")
    async def long() -> Response:
        return Response(b"x" * BYTES)

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("PATIENCE", 0.3), ("CONNECTIONS", 20), ("PIPELINED", 4)):
            patch.setattr(connection, name, value)
        with answering(app) as address:
            yield address


@pytest.fixture
def connect(address):
    """Connections on which so much was sent; they are closed at the end."""
    opened = []

    def connect(sent: bytes = b"", receive_buffer: int | None = None) -> socket.socket:
        one = socket.socket()
        opened.append(one)
        if receive_buffer:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        one.settimeout(10)
        one.connect(address)
        one.sendall(sent)
        return one

    yield connect
    for one in opened:
        one.close()


def received(one: socket.socket) -> bytes:
    """All that comes until the service closes the connection; a test that waits for ever fails by the timeout."""
    parts = []
    try:
        while part := one.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def send_until_closed(one: socket.socket, piece: bytes) -> bool:
    """Send a piece again and again; whether the service has put an end to it."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            one.sendall(piece)
        except OSError:
            return True
        time.sleep(0.05)
    return False


def answer(one: socket.socket) -> bytes:
    """One short answer."""
    found = b""
    while not found.endswith(b'"short"'):
        part = one.recv(65536)
        assert part, found
        found += part
    return found


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n", b"GET", GET[:-2], GET[:-2] + b"X: " + b"x" * 1000],
    ids=["nothing", "line end", "half a line", "half a header", "half a value"],
)
def test_who_asks_nothing_is_not_waited_for(connect, sent):
    assert received(connect(sent)) == b""


@pytest.mark.parametrize("rest", [b"\r\n", GET[:10]], ids=["line end", "half a header"])
def test_nor_is_who_asks_nothing_any_more(connect, rest):
    """A line end is no request, but stops the clock that uvicorn has for idle connections."""
    one = connect(GET)
    answer(one)
    one.sendall(rest)
    assert received(one) == b""


@pytest.mark.parametrize(
    ("sent", "piece"),
    [
        (b"", b"\r\n"),
        (GET[:-2], b"X: y\r\n"),
        (GET[:-2] + b"X: ", b"y"),
        (GET[:-2] + b"Content-Length: 1000\r\n\r\n", b"y"),
        (GET[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    ],
    ids=["line ends", "header", "value", "body that nobody reads", "trailer that nobody reads"],
)
def test_what_dribbles_is_cut_off(connect, sent, piece):
    assert send_until_closed(connect(sent), piece)


def test_a_request_in_pieces_is_answered(connect):
    one = connect()
    for piece in (GET[:5], GET[5:20], GET[20:]):
        one.sendall(piece)
        time.sleep(0.01)
    assert answer(one).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_header_of_32_kb_is_taken(connect):
    assert b"200 OK" in answer(connect(GET[:-2] + b"X: " + b"y" * 32_000 + b"\r\n\r\n"))


@pytest.mark.parametrize(
    ("sent", "piece"),
    [
        (GET[:-2] + b"X: ", b"y" * 100_000),
        (GET[:-2], b"X: y\r\n" * 20_000),
        (b"", b"\r\n" * 50_000),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 20_000),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1;", b"y" * 100_000),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\ny\r\n" * 20_000),
    ],
    ids=["value", "header", "line ends", "trailer", "chunk's extension", "chunks of one byte"],
)
def test_more_than_a_body_needs_around_it_is_not_taken(connect, monkeypatch, sent, piece):
    monkeypatch.setattr(connection, "PATIENCE", 60)  # it is not the time that ends it
    one = connect(sent)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        one.sendall(piece * 100)


def test_a_long_body_in_chunks_is_taken(connect):
    one = connect(POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    for _ in range(2000):
        one.sendall(b"64\r\n" + b"y" * 100 + b"\r\n")
    one.sendall(b"0\r\n\r\n")
    assert received(one).endswith(b"\r\n\r\n200000")


def test_an_answer_that_nobody_reads_is_given_up(connect):
    one = connect(LONG, receive_buffer=4096)
    time.sleep(1)
    assert len(received(one)) < BYTES / 2


def test_requests_in_advance_are_answered_in_order(connect):
    one = connect(GET * 4 + GET[:-2] + b"Connection: close\r\n\r\n")
    assert received(one).count(b"200 OK") == 5


def test_too_many_requests_in_advance_end_the_connection(connect):
    assert received(connect(GET * 10_000)).count(b"200 OK") <= 6


def test_a_connection_too_many_is_told_so_and_a_place_becomes_free_again(connect):
    kept = [connect() for _ in range(20)]
    head, _, said = received(connect()).partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    assert status == b"HTTP/1.1 503 Service Unavailable"
    assert {b"Retry-After: 1", b"Connection: close", b"Content-Length: %d" % len(said)} <= set(headers)
    assert json.loads(said) == {"detail": "too many connections are open; try again later"}
    assert received(connect(GET)).count(b"HTTP/1.1") == 1  # also where something was asked
    for one in kept:
        received(one)
    assert b"200 OK" in answer(connect(GET))


@pytest.mark.parametrize(
    "sent",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500,
        b"CONNECT here:1 HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: here\r\n\r\n",
        POST + b"Content-Length: +5\r\n\r\n",
        POST + b"Content-Length: -5\r\n\r\n",
        POST + b"Content-Length: 99999999999999999999\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["http/2", "tls", "connect", "path", "plus", "minus", "huge", "two lengths", "smuggling", "chunk"],
)
def test_what_is_no_request_of_http_1_is_refused(connect, sent):
    found = received(connect(sent))
    assert found.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close" in found
