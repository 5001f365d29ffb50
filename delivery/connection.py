"""One TCP connection: whoever opens it has to say what he wants and to take the answer, within limits of time and size.

uvicorn limits how long a connection may be idle after an answer, but neither before the first request nor while the
header of one dribbles in, nor while the rest of a refused one does, nor how long an answer may wait to be read.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Beyond the body: header, trailer, and what chunks cost. A little more where it arrives together with something else.
HEADER_BYTES = 65_536
# Seconds for a header, for what is left of a refused body, or to take an answer: a network's worst, not a person's.
PATIENCE = 10.0
CONNECTIONS = 800  # of the 1,024 open files that most systems allow a process
PIPELINED = 32  # requests that wait for the answer to the one before
# To whoever opens one more, so that a proxy or a client can tell it from a defect.
_DETAIL = b'{"detail":"too many connections are open; try again later"}'
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_DETAIL), _DETAIL)
)


class Connection(HttpToolsProtocol):
    """uvicorn's connection with limits until the application is asked, and after it has answered."""

    _deadline: asyncio.TimerHandle | None = None
    _in_header = _in_rest = False
    _surplus = 0  # bytes since the request began, less twice those of its body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock; one connection too many is answered unasked, and not kept."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.write(_FULL)
            transport.close()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._surplus += len(data)
        super().data_received(data)
        if self._surplus > HEADER_BYTES:
            self.transport.abort()
        self._watch()

    def on_message_begin(self) -> None:
        """A request begins: its header is expected."""
        self._in_header, self._surplus = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The application is asked, which has limits of its own."""
        self._in_header = False
        if not self.flow.write_paused:
            self._stop()
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED:
            self.transport.abort()
            raise ConnectionAbortedError  # which stops the parser; the rest of what came is not looked at

    def on_body(self, body: bytes) -> None:
        """A part of the body, which may be as long again as it comes in chunks."""
        self._surplus -= 2 * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Nothing is left to come."""
        self._in_rest = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Answered: if the request is not whole yet, its rest is expected."""
        self._in_rest = self.cycle.more_body
        super().on_response_complete()
        if self._in_rest or self.transport.is_closing():
            self._watch()

    def timeout_keep_alive_handler(self) -> None:
        """Idle for long enough. What has been answered may still wait to be read."""
        super().timeout_keep_alive_handler()
        self._watch()

    def pause_writing(self) -> None:
        """Much of an answer waits to be read."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It has been read."""
        super().resume_writing()
        self._watch()

    def _watch(self) -> None:
        """Let the clock run while it is the client's turn, whatever he sends: a few line ends are no request."""
        asked = self.cycle is not None and not self.cycle.response_complete
        unread = self.flow.write_paused or self.transport.is_closing()
        if asked and not (self._in_header or self._in_rest or unread):
            self._stop()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(PATIENCE, self.transport.abort)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
