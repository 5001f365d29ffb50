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
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock; one connection too many is not kept."""
        super().connection_made(transport)
        self._expect()
        if len(self.connections) > CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is a header without end."""
        super().data_received(data)
        if self._deadline is not None:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES and (self.cycle is None or self.cycle.response_complete):
                self.transport.abort()

    def on_message_begin(self) -> None:
        """A request begins: its header is expected."""
        super().on_message_begin()
        if self._deadline is None:
            self._expect()

    def on_headers_complete(self) -> None:
        """The application is asked, which has limits of its own."""
        self._arrived()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Nothing is left to come."""
        self._arrived()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Answered: if the body is not whole yet, its rest is expected."""
        if self.cycle is not None and self.cycle.more_body:
            self._expect()
        super().on_response_complete()

    def _expect(self) -> None:
        self._arrived()
        self._deadline = self.loop.call_later(PATIENCE, self._give_up)

    def _arrived(self) -> None:
        self._header_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self.transport.abort()
