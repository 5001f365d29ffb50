"""Limits of size, time and number around any application, without a server."""

import asyncio
import json

import pytest

from delivery.protection import Limits, Load, OverloadError, Protection, TooLargeError

LIMITS = Limits(pictures="/v1/predict", request_bytes=1_000_000, waiting=2, waiting_bytes=1_500_000, seconds=0.1)


class Exchange:
    """One request as ASGI has it, and what was answered."""

    def __init__(self, path: str = "/v1/predict", parts: tuple[bytes, ...] = (b"",), declared: int | None = 0) -> None:
        length = (b"transfer-encoding", b"chunked") if declared is None else (b"content-length", b"%d" % declared)
        self.scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"host", b"here"), length]}
        self.parts, self.taken = list(parts), 0
        self.status, self.headers, self.body = 0, {}, b""

    async def receive(self):
        if not self.parts:
            await asyncio.Event().wait()  # a client that has stopped sending
        self.taken += 1
        return {"type": "http.request", "body": self.parts.pop(0), "more_body": bool(self.parts)}

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]

    @property
    def detail(self) -> str:
        return json.loads(self.body)["detail"]


class Around:
    """A protected application, with what was observed of it."""

    def __init__(self, app, limits: Limits = LIMITS) -> None:
        self.load, self.observed, self.finished = Load(), [], []
        observe = lambda *facts: self.observed.append(facts[:3])  # noqa: E731
        self.app = Protection(app, limits, self.load, observe, self.finished.append)

    async def answer(self, exchange: Exchange) -> Exchange:
        await self.app(exchange.scope, exchange.receive, exchange.send)
        return exchange


async def ok(send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def reads(_scope, receive, send):
    """An application that wants all of the body."""
    while (await receive()).get("more_body"):
        pass
    await ok(send)


async def waits(scope, receive, _send):
    """One that has read what came first, and does not come to an end."""
    if scope["headers"][-1] != (b"content-length", b"0"):
        await receive()
    await asyncio.Event().wait()


def test_what_is_small_enough_is_answered_and_counted():
    around = Around(reads)
    exchange = asyncio.run(around.answer(Exchange(parts=(b"a" * 1_000_000,), declared=1_000_000)))
    assert exchange.status == 200
    assert around.observed == [("POST", "other", 200)]
    assert around.finished == [exchange.scope]
    assert around.load == Load(0, 0)


@pytest.mark.parametrize(("path", "most"), [("/v1/predict", 1_000_000), ("/v1/feedback", 16_384), ("/healthz", 16_384)])
def test_a_body_that_says_it_is_too_large_is_refused_unread(path, most):
    around = Around(reads)
    exchange = asyncio.run(around.answer(Exchange(path, (b"a" * 100,), declared=most + 1)))
    assert (exchange.status, exchange.taken) == (413, 0)
    assert exchange.headers[b"connection"] == b"close"
    assert exchange.detail == f"the request is larger than {most} bytes"
    assert around.load == Load(0, 0)


def test_a_body_that_does_not_say_is_refused_as_soon_as_it_is():
    async def app(scope, receive, send):
        with pytest.raises(TooLargeError):
            await reads(scope, receive, send)
        raise TooLargeError(1)

    exchange = Exchange(parts=(b"a" * 400_000,) * 10, declared=None)
    with pytest.raises(TooLargeError):  # which FastAPI answers with 413
        asyncio.run(Around(app).answer(exchange))
    assert exchange.taken == 3


def test_one_request_too_many_is_told_to_come_back_and_its_body_is_not_read():
    async def scenario():
        around = Around(waits)
        first = [asyncio.create_task(around.answer(Exchange(parts=(b"a",), declared=1))) for _ in range(2)]
        await asyncio.sleep(0)
        others = [await around.answer(Exchange(parts=(b"a",), declared=1)) for _ in range(50)]
        assert around.load == Load(2, 2)
        for other in others:
            assert (other.status, other.taken) == (503, 0)
            assert (other.headers[b"retry-after"], other.headers[b"connection"]) == (b"1", b"close")
            assert other.detail == "too many requests are waiting; try again later"
        await asyncio.gather(*first)
        assert around.load == Load(0, 0)

    asyncio.run(scenario())


def test_requests_that_are_large_together_are_told_to_come_back():
    async def scenario():
        around = Around(waits)
        first = asyncio.create_task(around.answer(Exchange(parts=(b"a" * 1_000_000,), declared=1_000_000)))
        await asyncio.sleep(0)
        assert (await around.answer(Exchange(parts=(b"a",), declared=500_001))).status == 503
        assert (await around.answer(Exchange(parts=(b"a" * 500_000,), declared=500_000))).status == 503  # waits in vain
        await first

    asyncio.run(scenario())


def test_what_becomes_too_large_together_is_refused_while_it_arrives():
    """A header alone takes no room, however much it announces; what comes after it does."""

    async def scenario():
        around = Around(reads)
        slow = Exchange(declared=1_000_000)
        parts = [b"a" * 600_000, b"a" * 390_000]
        come = asyncio.Event()

        async def receive():
            if not parts:
                await come.wait()
            return {"type": "http.request", "body": parts.pop(0) if parts else b"", "more_body": not come.is_set()}

        other = Exchange(parts=(b"a" * 500_000, b"a" * 100_000, b"never read"), declared=None)
        slow.receive = receive
        first = asyncio.create_task(around.answer(slow))
        second = asyncio.create_task(around.answer(other))
        await asyncio.sleep(0)
        with pytest.raises(OverloadError) as caught:  # which FastAPI answers with what it says
            await second
        assert (caught.value.status_code, caught.value.headers["retry-after"]) == (503, "1")
        assert (other.taken, around.load) == (2, Load(1, 990_000))
        come.set()
        await first
        assert (slow.status, around.load) == (200, Load(0, 0))

    asyncio.run(scenario())


def test_a_refused_request_takes_no_room_however_large_it_says_it_is():
    """Its answer may wait for a client that does not read it; others are answered meanwhile."""

    async def scenario():
        around = Around(reads)
        stuck = Exchange(declared=10**18)
        stuck.send = lambda _message: asyncio.Event().wait()
        task = asyncio.create_task(around.answer(stuck))
        await asyncio.sleep(0)
        assert (await around.answer(Exchange())).status == 200
        task.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_what_operators_ask_is_answered_when_nothing_else_is(path):
    async def scenario():
        around = Around(lambda scope, receive, send: ok(send) if scope["path"] == path else waits(scope, receive, send))
        first = [asyncio.create_task(around.answer(Exchange(parts=(b"a",), declared=1))) for _ in range(2)]
        await asyncio.sleep(0)
        assert (await around.answer(Exchange(path))).status == 200
        await asyncio.gather(*first)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("parts", "declared", "status", "detail"),
    [
        ((b"half",), 8, 503, "no answer in time; try again later"),
        ((), 8, 408, "the request took longer than 0.1 s to arrive"),
        ((), 0, 503, "no answer in time; try again later"),
    ],
    ids=["arrived", "not arrived", "no body"],
)
def test_who_takes_too_long_is_told_whose_fault_it_is(parts, declared, status, detail):
    around = Around(waits)
    exchange = asyncio.run(around.answer(Exchange(parts=parts, declared=declared)))
    assert (exchange.status, exchange.detail) == (status, detail)
    assert exchange.headers[b"connection"] == b"close"
    assert (exchange.headers.get(b"retry-after") == b"1") is (status == 503)
    assert around.observed == [("POST", "other", status)]
    assert around.load == Load(0, 0)


def test_an_answer_that_has_begun_is_not_begun_again():
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    around = Around(app)
    exchange = asyncio.run(around.answer(Exchange()))
    assert (exchange.status, exchange.body) == (200, b"")
    assert around.observed == [("POST", "other", 200)]


def test_a_task_that_was_cancelled_by_others_is_not_answered():
    async def scenario():
        around = Around(waits)
        exchange = Exchange(parts=(b"a",), declared=1)
        task = asyncio.create_task(around.answer(exchange))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert exchange.status == 0
        assert around.load == Load(0, 0)

    asyncio.run(scenario())


def test_a_defect_is_counted_as_one():
    async def app(_scope, _receive, _send):
        raise ZeroDivisionError

    around = Around(app)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(around.answer(Exchange()))
    assert around.observed == [("POST", "other", 500)]
    assert around.load == Load(0, 0)


def test_what_is_no_request_passes_through():
    seen = []

    async def app(scope, _receive, _send):
        seen.append(scope["type"])

    asyncio.run(Protection(app, LIMITS, Load(), lambda *_: None, lambda _: None)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
