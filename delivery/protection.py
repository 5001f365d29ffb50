"""Limits of size, time and number, for every request: what is too much is answered early and kept nowhere."""

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Questions of operators and their tools, which have to be answered most of all when there is too much to do.
_ALWAYS = frozenset(("/healthz", "/readyz", "/metrics"))
# Seconds after which a client that was refused may try again.
_RETRY_AFTER = "1"


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much the service takes on."""

    request_bytes: int
    waiting: int  # requests that are under way
    waiting_bytes: int  # of their bodies, together
    seconds: float  # for one request, from its header to its answer


class TooLarge(Exception):
    """A body without a declared length has become longer than allowed."""


class Protection:
    """ASGI middleware around the application.

    Args:
        app: what is protected.
        limits: what it takes on.
        observe: called with method, route, status and seconds of each request.
        finished: called with the scope of each request whose answer has been sent or given up.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        observe: Callable[[str, str, int, float], None],
        finished: Callable[[Scope], None],
    ) -> None:
        self._app, self._limits, self._observe, self._finished = app, limits, observe, finished
        self.waiting = self.waiting_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413, 503 or 408 where a limit is exceeded; otherwise let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, limits = time.perf_counter(), 0, self._limits

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        declared = _declared_length(scope)
        size = limits.request_bytes if declared is None else declared
        self.waiting += 1
        self.waiting_bytes += size
        try:
            if size > limits.request_bytes:
                await _refuse(413, _too_large(limits), scope, receive, observed)
            elif self._overloaded() and scope["path"] not in _ALWAYS:
                await _refuse(503, "too many requests are waiting; try again later", scope, receive, observed)
            else:
                if declared is None:
                    receive = _counted(receive, limits.request_bytes)
                async with asyncio.timeout(limits.seconds):
                    await self._app(scope, receive, observed)
        except TooLarge:
            await _refuse(413, _too_large(limits), scope, receive, observed)
        except TimeoutError:
            if status:
                raise
            if "waiting" in scope:
                await _refuse(503, "no answer in time; try again later", scope, receive, observed)
            else:
                await _refuse(408, f"the request took longer than {limits.seconds:g} s", scope, receive, observed)
        finally:
            self.waiting -= 1
            self.waiting_bytes -= size
            self._finished(scope)
            route = getattr(scope.get("route"), "path", "other")
            self._observe(scope["method"], route, status, time.perf_counter() - started)

    def _overloaded(self) -> bool:
        return self.waiting > self._limits.waiting or self.waiting_bytes > self._limits.waiting_bytes


def _declared_length(scope: Scope) -> int | None:
    """Bytes that the body has by its header; None if they are to be counted as they come."""
    length: int | None = 0
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            return None
    return length


def _counted(receive: Receive, limit: int) -> Receive:
    total = 0

    async def counting() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise TooLarge
        return message

    return counting


def _too_large(limits: Limits) -> str:
    return f"the request is larger than {limits.request_bytes} bytes"


async def _refuse(status: int, detail: str, scope: Scope, receive: Receive, send: Send) -> None:
    # What has not been read yet is not read any more, so the connection is of no more use.
    headers: dict[str, Any] = {"connection": "close"}
    if status == 503:
        headers["retry-after"] = _RETRY_AFTER
    await JSONResponse({"detail": detail}, status, headers)(scope, receive, send)
