"""A house of Defray and a receiver of webhooks on loopback."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from books import feed
from books import webhooks as hooks
from tasks import webhook
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House
from webhooks.send import Limits

__all__ = ["house", "sandbox", "sandbox_process"]

SECRET = "whsec_" + "QUJD" * 8


@dataclass
class Receiver:
    """A real HTTP server that answers as the test says, and keeps what came."""

    port: int = 0
    status: int = 204
    body: bytes = b""
    hang: bool = False
    drip: bool = False
    dripped_out: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hooks"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The app that is told."""
    with receiving() as kept:
        yield kept


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """An app that is told, until the block ends."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            if kept.hang:
                kept.released.wait(10)
                return
            if kept.drip:
                for drop in b"HTTP/1.1 200 OK\r\nx: " + b"x" * 500:
                    self.wfile.write(bytes([drop]))
                    if kept.released.wait(0.02):
                        return
                kept.dripped_out = True
                return
            self.send_response(kept.status)
            for name, value in kept.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(kept.body)))
            self.end_headers()
            self.wfile.write(kept.body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            with suppress(OSError):  # the other side has hung up
                secured = tls.wrap_socket(request, server_side=True) if tls else request
                super().finish_request(secured, client_address)
                secured.close()

    if tls:
        tls.sni_callback = lambda _socket, name, _context: kept.names.append(name)

    server = Server(("127.0.0.1", 0), Handler)
    kept.port = server.server_port
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    yield kept
    kept.released.set()
    server.shutdown()
    server.server_close()


def complete(house: House) -> None:
    """Wait until the horizon has reached the last event: other databases of the server hold it back, too."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with house.engine.begin() as conn:
            if feed.settle(conn) >= feed.drawn(conn):
                return
        time.sleep(0.02)
    raise AssertionError("a transaction of this server does not end")


@dataclass
class Post:
    """Endpoints, and the worker that tells them."""

    house: House

    def endpoint(self, url: str, *types: str, contact: str = "") -> int:
        """Register one."""
        sealed = self.house.context.vault.seal_text(SECRET, hooks.PURPOSE)
        with self.house.context.transaction() as (conn, now):
            kept = hooks.Sealed(sealed.key_id, sealed.sealed)
            return hooks.add(conn, url, types, None, contact, kept, now, "ada")

    def tell(self, **limits: Any) -> dict[str, int]:
        """Let the task work once."""
        complete(self.house)
        allowed = Limits(**{"allow_private": True, **limits})
        return dict(webhook.work(replace(self.house.context, webhook_limits=allowed)))

    def found(self, endpoint: int) -> hooks.Endpoint:
        """How it stands."""
        with self.house.engine.connect() as conn:
            return hooks.endpoint(conn, endpoint)

    def deliveries(self, endpoint: int) -> list[hooks.Delivery]:
        """In the order of events."""
        with self.house.engine.connect() as conn:
            return hooks.deliveries(conn, endpoint)[::-1]


@pytest.fixture
def post(house: House) -> Post:
    """Who tells apps."""
    return Post(house)
