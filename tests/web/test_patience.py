"""Issue 8, attack: connections that say nothing, or drop by drop, are ended by a server that runs as ours does."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from settings import Settings
from tests.faults.plant import until
from web.__main__ import configured
from web.patience import Impatient


class Quick(Impatient):
    """As ours, with less patience."""

    seconds = 0.3


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body, for "/slow" only after more than the server's patience."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message["body"])
        more = message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(Quick.seconds * 2)  # what the rule is about
    body = str(length).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def talk() -> Iterator[Callable[[], socket.socket]]:
    """Connections to a server with little patience."""
    server = uvicorn.Server(uvicorn.Config(echo, port=0, http=Quick, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, "the server listens")
    address = server.servers[0].sockets[0].getsockname()
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(socket.create_connection(address, timeout=20))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()
    server.should_exit = True
    thread.join()


def drip(connection: socket.socket, drop: bytes, over: threading.Event) -> None:
    """A byte now and then, for as long as the connection stands."""
    while not over.wait(Quick.seconds / 10):
        try:
            connection.sendall(drop)
        except OSError:
            return


POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize(
    ("begun", "drop"),
    [
        pytest.param(b"", b"", id="silent"),
        pytest.param(b"", b"\r\n", id="blank lines"),
        pytest.param(b"GET / HTTP/1.1\r\nX-Drip: ", b"x", id="headers that drip"),
        pytest.param(POST.replace(b"5", b"9999"), b"x", id="a body that drips"),
        pytest.param(POST + b"12345" + POST.replace(b"5", b"9999"), b"x", id="a second body that drips"),
        pytest.param(POST + b"12345", b"\r\n", id="blank lines after a request"),
        pytest.param(POST + b"12345" + POST, b"", id="silent in a second body"),
    ],
)
def test_what_does_not_end_is_ended(talk: Callable[[], socket.socket], begun: bytes, drop: bytes) -> None:
    """A connection that is silent, or that drips, is ended by the server, whatever came before."""
    connection, over = talk(), threading.Event()
    connection.sendall(begun)
    dripping = threading.Thread(target=drip, args=(connection, drop, over))
    dripping.start()
    heard = bytearray()
    with suppress(ConnectionResetError):
        while part := connection.recv(4096):
            heard += part
    over.set()
    dripping.join()
    assert heard.count(b"200 OK") == begun.count(b"12345")


def test_who_says_all_is_answered(talk: Callable[[], socket.socket]) -> None:
    """A request that is whole is answered, however long the answer takes; the connection goes on after it."""
    connection = talk()
    for path in (b"/slow", b"/", b"/slow"):
        connection.sendall(POST.replace(b"/ ", path + b" ", 1) + b"12345")
        heard = b""
        while not heard.endswith(b"\r\n\r\n5"):
            part = connection.recv(4096)
            assert part, heard
            heard += part


def test_ours_is_impatient(settings: Settings) -> None:
    """The web process is served that way."""
    assert configured(settings).http is Impatient
