"""How long a connection may take to say what it wants: uvicorn itself ends only those that wait between requests."""

from __future__ import annotations

from asyncio import BaseTransport, TimerHandle, Transport
from typing import Any, ClassVar, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_SECONDS: Final = 60.0
"""From the first byte of a request, or from the connection's begin, to the last byte of its body."""


class Impatient(HttpToolsProtocol):
    """Ends a connection that says nothing, or whose headers or body only drip; answers may take as long as they do."""

    seconds: ClassVar[float] = REQUEST_SECONDS

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._deadline: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Wait for a first request."""
        super().connection_made(cast(Transport, transport))
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._waits_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait for a request, also where nothing but blank lines comes."""
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Wait for the rest of a request, one that follows closely on another, too."""
        self._wait()
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The whole request is here."""
        self._waits_no_more()
        super().on_message_complete()

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self._end)

    def _waits_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._deadline = None
        if self.flow.read_paused:  # it is us who take no more for now
            self._wait()
        else:
            self.transport.close()
