"""A server that gives the replies it was told to give, and keeps what it was sent, byte for byte."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from types import TracebackType
from typing import Self


class Canned:
    """Listens on loopback and answers each POST with the next body of `bodies`; the last one serves for ever."""

    def __init__(self, *bodies: str | bytes, status: int = 200, headers: str = "") -> None:
        self.bodies = list(bodies)
        self.status, self.headers = status, headers
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/"

    def sent(self) -> str:
        """The last request as it came, its changing port apart."""
        return re.sub(r"Host: 127\.0\.0\.1:\d+", "Host: 127.0.0.1", self.requests[-1].decode("ascii"))

    def body(self) -> str:
        """The body of the last request."""
        return self.requests[-1].decode("ascii").partition("\r\n\r\n")[2]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # where close alone wakes who waits in accept, this is an error
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while request := read_request(connection):
                self.requests.append(request)
                body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
                content = body.encode() if isinstance(body, str) else body
                head = f"HTTP/1.1 {self.status} Canned\r\n{self.headers}Content-Length: {len(content)}\r\n\r\n"
                connection.sendall(head.encode() + content)
        except OSError:
            return


def read_request(connection: socket.socket) -> bytes:
    """One whole request, or nothing where the other side has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return b""
        data += more
    length = int(re.search(rb"Content-Length: (\d+)", data)[1])  # type: ignore[index]
    while len(data.partition(b"\r\n\r\n")[2]) < length:
        data += connection.recv(65536)
    return data
