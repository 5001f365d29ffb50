"""One TCP connection: whoever opens it has to say what he wants, and within a limit of time and size.

uvicorn limits how long a connection may be idle after an answer, but neither before the first request nor while the
header of one dribbles in, nor while the rest of a refused one does.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES = 65_536
# Seconds for a header, or for what is left of a refused body: a network's worst, not a person's.
PATIENCE = 10.0
CONNECTIONS = 800  # of the 1,024 open files that most systems allow a process


class Connection(HttpToolsProtocol):
    """uvicorn's connection with limits until the application is asked, and after it has answered."""

    _deadline: asyncio.TimerHandle | None = None
    _in_header = _in_rest = False
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock; one connection too many is not kept."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(PATIENCE, transport.abort)
        if len(self.connections) > CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and start the clock if it leaves a header, or what nobody reads, unfinished."""
        super().data_received(data)
        if self._in_header:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES:
                self.transport.abort()
        if not (self._in_header or self._in_rest):
            self._stop()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(PATIENCE, self.transport.abort)

    def on_message_begin(self) -> None:
        """A request begins: its header is expected."""
        self._in_header, self._header_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The application is asked, which has limits of its own."""
        self._in_header = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Nothing is left to come."""
        self._in_rest = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Answered: if the request is not whole yet, its rest is expected."""
        if self.cycle.more_body and not self.transport.is_closing():
            self._in_rest = True
            self._deadline = self._deadline or self.loop.call_later(PATIENCE, self.transport.abort)
        super().on_response_complete()

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
