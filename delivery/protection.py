"""Limits of size, time and number, for every request: what is too much is refused early and kept nowhere."""

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What operators and their tools ask, which has to be answered most of all when there is too much to do.
_RELOAD = "/v1/admin/reload"
_ALWAYS = frozenset(("/healthz", "/readyz", "/metrics", _RELOAD))
# Bytes of a body for any other path than the one that takes pictures: JSON is parsed where it blocks everybody else.
_SMALL = 16_384
# Seconds after which a client that was refused may try again.
RETRY_AFTER = {"retry-after": "1"}
# What has not been read by then is not read any more, so the connection is of no more use.
_CLOSE = {"connection": "close"}


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much the service takes on."""

    pictures: str  # path of the requests that may be large
    request_bytes: int  # of one of those
    waiting: int  # requests that are under way
    waiting_bytes: int  # of their bodies, together, as far as they have arrived
    seconds: float  # for one request, from its header to its answer


@dataclasses.dataclass
class Load:
    """How much it has taken on."""

    requests: int = 0
    bytes: int = 0


class TooLargeError(HTTPException):
    """A body is longer than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the request is larger than {limit} bytes", _CLOSE)


class OverloadError(HTTPException):
    """More has arrived than is taken on."""

    def __init__(self) -> None:
        super().__init__(503, "too many requests are waiting; try again later", RETRY_AFTER | _CLOSE)


class Protection:
    """ASGI middleware around the application.

    Args:
        app: what is protected.
        limits: what it takes on.
        load: what it has taken on, counted here.
        observe: called with method, route, status and seconds of each request.
        finished: called with the scope of each request whose answer has been sent or given up.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        load: Load,
        observe: Callable[[str, str, int, float], None],
        finished: Callable[[Scope], None],
    ) -> None:
        self._app, self._limits, self._load, self._observe, self._finished = app, limits, load, observe, finished
        self._deadlines = _Deadlines(limits.seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413, 503 or 408 where a limit is exceeded; otherwise let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        declared = _declared_length(scope)
        most = self._limits.request_bytes if scope["path"] == self._limits.pictures else _SMALL
        together = None if scope["path"] in _ALWAYS else self._limits.waiting_bytes
        body = _Body(receive, most, self._load, together, whole=declared == 0)
        self._load.requests += 1
        try:
            refusal = TooLargeError(most) if declared and declared > most else self._refusal(scope, declared or 0)
            if refusal is None:
                refusal = await self._answered(scope, body, observed)
            if refusal is not None and not status:
                content = {"detail": refusal.detail}
                await JSONResponse(content, refusal.status_code, refusal.headers)(scope, receive, observed)
        finally:
            self._load.requests -= 1
            self._load.bytes -= body.size
            self._finished(scope)
            route = getattr(scope.get("route"), "path", "other")
            self._observe(scope["method"], route, status or 500, time.monotonic() - started)

    def _refusal(self, scope: Scope, declared: int) -> HTTPException | None:
        """What is declared is not reserved: whoever sends a header alone would take the room of all others."""
        limits, load = self._limits, self._load
        much = load.requests > limits.waiting or load.bytes + declared > limits.waiting_bytes
        return OverloadError() if much and scope["path"] not in _ALWAYS else None

    async def _answered(self, scope: Scope, body: "_Body", send: Send) -> HTTPException | None:
        task = asyncio.current_task()
        assert task is not None
        if scope["path"] != _RELOAD:  # which takes as long as the machine needs; half-way it would help nobody
            self._deadlines.begin(task)
        try:
            await self._app(scope, body.receive, send)
        except asyncio.CancelledError:
            if not self._deadlines.passed(task):
                raise
            task.uncancel()
            if body.whole:  # so the service is to blame
                return HTTPException(503, "no answer in time; try again later", RETRY_AFTER | _CLOSE)
            return HTTPException(408, f"the request took longer than {self._limits.seconds:g} s to arrive", _CLOSE)
        finally:
            self._deadlines.end(task)
        return None


class _Deadlines:
    """Cancels tasks that take too long. One timer for all of them, since nearly all are done in milliseconds.

    Args:
        seconds: that a task may take, and up to a quarter more.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun: dict[asyncio.Task[Any], float] = {}  # the oldest first
        self._passed: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[Any]) -> None:
        """The task has so long from now."""
        self._begun[task] = time.monotonic()
        if self._timer is None:
            self._look_later()

    def passed(self, task: asyncio.Task[Any]) -> bool:
        """Whether the task was cancelled from here."""
        return task in self._passed

    def end(self, task: asyncio.Task[Any]) -> None:
        """The task is done, in whatever way."""
        self._begun.pop(task, None)
        self._passed.discard(task)

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds / 4, self._look)

    def _look(self) -> None:
        self._timer = None
        oldest = time.monotonic() - self._seconds
        for task in [task for task, begun in self._begun.items() if begun <= oldest]:
            del self._begun[task]
            self._passed.add(task)
            task.cancel()
        if self._begun:
            self._look_later()


def _declared_length(scope: Scope) -> int | None:
    """Bytes that the body has by its header; None if they are to be counted as they come."""
    length: int | None = 0
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            return None
    return length


class _Body:
    """A body as it arrives.

    Args:
        receive: ASGI's, which brings it.
        limit: bytes; TooLargeError beyond.
        load: where they are counted; who has counted `size` bytes takes them back at the end.
        together: bytes of all bodies; OverloadError where this one would cross it. None: as many as there are.
        whole: there is nothing to come.
    """

    def __init__(self, receive: Receive, limit: int, load: Load, together: int | None, whole: bool) -> None:
        self._receive, self._limit, self._load, self._together, self.whole = receive, limit, load, together, whole
        self.size = 0  # bytes that have arrived

    async def receive(self) -> Message:
        """The next part, for the application. One that is too much is dropped, and what came before is given up."""
        message = await self._receive()
        size = len(message.get("body", b""))
        if self.size + size > self._limit:
            raise TooLargeError(self._limit)
        if size and self._together is not None and self._load.bytes + size > self._together:
            raise OverloadError
        self.size += size
        self._load.bytes += size
        self.whole = not message.get("more_body", False)
        return message
