"""A small HTTP/1.1 server side on asyncio's protocol level: keep-alive, one request at a time a connection.

Bodies need a Content-Length. What is sent back is bytes made by `response`, and a connection can also be reset,
closed or cut short, which is what a sandbox is for.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final, cast

HEAD_LIMIT: Final = 65_536
BODY_LIMIT: Final = 16 * 1024 * 1024
BACKLOG: Final = 4096
REASONS: Final = {
    200: "OK",
    201: "Created",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Request:
    """One request as it came: method, target, raw head and body."""

    __slots__ = ("_lower", "body", "connection_requests", "head", "method", "path", "query")

    def __init__(self, head: bytes, lower: bytes, body: bytes, connection_requests: int) -> None:
        line = head[: head.find(b"\r\n")] if b"\r\n" in head else head
        method, _, rest = line.partition(b" ")
        target = rest.rpartition(b" ")[0]
        path, _, query = target.partition(b"?")
        self.method = method.decode("latin-1")
        self.path = path.decode("latin-1")
        self.query = query.decode("latin-1")
        self.head = head
        self.body = body
        self.connection_requests = connection_requests
        """Which request of its connection this is: 1 for the first, more on a kept-alive one."""
        self._lower = lower

    def header(self, name: str) -> str:
        """The value of the header `name` (lower case), or an empty string."""
        start = self._lower.find(b"\r\n%b:" % name.encode())
        if start < 0:
            return ""
        start += len(name) + 3
        end = self._lower.find(b"\r\n", start)
        return self.head[start : end if end >= 0 else None].decode("latin-1").strip()

    def headers(self) -> dict[str, str]:
        """All headers, names in lower case."""
        pairs = (line.partition(":") for line in self.head.decode("latin-1").split("\r\n")[1:])
        return {name.strip().lower(): value.strip() for name, _, value in pairs}


def response(status: int, content_type: str, body: bytes, headers: str = "", length: int | None = None) -> bytes:
    """An HTTP response; `headers` are complete lines; `length` overrides the true length of the body."""
    return (
        f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\nContent-Type: {content_type}\r\n"
        f"{headers}Content-Length: {len(body) if length is None else length}\r\n\r\n"
    ).encode("latin-1") + body


class Connection(asyncio.Protocol):
    """One client's connection. `serve` is called with each request and must lead to one of the ending calls."""

    def __init__(self, serve: Callable[[Request, "Connection"], None], open_connections: set["Connection"]) -> None:
        self._serve = serve
        self._open = open_connections
        self._buffer = b""
        self._busy = False
        self._reading = False
        self._keep = True
        self._continued = False
        self._requests = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._open.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._busy:
            self._read()

    def _read(self) -> None:
        self._reading = True
        while self._buffer and not self._busy and not self._transport.is_closing():
            if not self._take_request():
                break
        self._reading = False

    def _take_request(self) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > HEAD_LIMIT:
                self._refuse(431, "the request's head is too large")
            return False
        head = buffer[:end]
        lower = head.lower()
        length = 0
        at = lower.find(b"\r\ncontent-length:")
        if at >= 0:
            stop = lower.find(b"\r\n", at + 17)
            digits = lower[at + 17 : stop if stop >= 0 else None].strip()
            if not digits.isdigit() or int(digits) > BODY_LIMIT:
                self._refuse(413, "Content-Length must be a number of at most 16 MiB")
                return False
            length = int(digits)
        elif b"\r\ntransfer-encoding:" in lower:
            self._refuse(411, "send a Content-Length; chunked bodies are not read")
            return False
        start = end + 4
        if len(buffer) < start + length:
            if not self._continued and b"\r\nexpect: 100-continue" in lower:
                self._continued = True
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return False
        self._buffer = buffer[start + length :]
        self._continued = False
        self._busy = True
        self._requests += 1
        self._keep = b"\r\nconnection: close" not in lower
        self._serve(Request(head, lower, buffer[start : start + length], self._requests), self)
        return True

    def _refuse(self, status: int, reason: str) -> None:
        self._transport.write(response(status, "text/plain", f"sandbox: {reason}\n".encode(), "Connection: close\r\n"))
        self._transport.close()

    def reply(self, raw: bytes) -> None:
        """Send a complete response; the next request may follow. Does nothing if the client is gone."""
        if self._transport.is_closing():
            return
        self._transport.write(raw)
        self._busy = False
        if not self._keep:
            self._transport.close()
        elif self._buffer and not self._reading:
            self._read()

    def reply_and_close(self, raw: bytes) -> None:
        """Send `raw`, which may be less than it promises, and close in good order."""
        if not self._transport.is_closing():
            self._transport.write(raw)
            self._transport.close()

    def close(self) -> None:
        """Close in good order (FIN) without a word."""
        self._transport.close()

    def reset(self) -> None:
        """Reset the connection (RST): what was not read yet at the other side is lost."""
        if not self._transport.is_closing():
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
