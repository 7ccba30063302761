"""One signed call (Standard Webhooks), and what came of it; never raises for what an endpoint or the network does.

A name is resolved once, and the connection made to the very address that was checked, with the name for Host, SNI and
certificate: a name that leads elsewhere a moment later (DNS rebinding) gains nothing. No redirect is followed, no proxy
or netrc read. A clock ends a call whose answer comes drop by drop.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from standardwebhooks.webhooks import Webhook
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from rules.webhooks import SAID_MAX
from webhooks.address import NotAllowed, addresses


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for connecting, for each word of the answer, and in all; whether private addresses are allowed."""

    connect: float = 5
    read: float = 10
    total: float = 15
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Status of the answer (None: there was none), milliseconds, its first words or the error in words."""

    status: int | None
    milliseconds: int
    said: str


def signed(message_id: str, at: datetime, body: str, secrets: Sequence[str]) -> dict[str, str]:
    """The headers of a message: its id, its time, a signature by each secret."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "Defray",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, at, body) for secret in secrets),
    }


def send(url: str, headers: dict[str, str], body: str, limits: Limits) -> Answer:
    """Post it."""
    began = time.monotonic()
    call = _Call(limits)
    watch = threading.Timer(limits.total, call.end)
    watch.daemon = True
    watch.start()
    try:
        status, said = _post(call, url, headers, body)
    except (requests.RequestException, OSError, ValueError) as error:
        status, said = None, _in_words(error, call)
    finally:
        watch.cancel()
        watch.join()
        call.close()
    if call.ended:  # what was cut off may look like an end
        status, said = None, f"no answer within {limits.total:g} seconds"
    return Answer(status, int((time.monotonic() - began) * 1000), said)


def _post(call: _Call, url: str, headers: dict[str, str], body: str) -> tuple[int, str]:
    with requests.Session() as session:
        session.trust_env = False
        adapter = _Adapter(call)
        session.mount("https://", adapter)
        if call.limits.allow_private:
            session.mount("http://", adapter)
        else:
            session.adapters.pop("http://")
        with session.post(
            url,
            data=body.encode(),
            headers=headers,
            timeout=(call.limits.connect, call.limits.read),
            allow_redirects=False,
            stream=True,
        ) as answer:
            first = next(answer.iter_content(SAID_MAX), b"")
            return answer.status_code, " ".join(first.decode("utf-8", "replace").split())[:SAID_MAX]


def _in_words(error: Exception, call: _Call) -> str:
    if call.refused:
        return call.refused
    match error:
        case requests.exceptions.InvalidSchema():
            return "only https is allowed"
        case requests.exceptions.SSLError():
            return "the certificate or the encryption is not right"
        case requests.exceptions.ConnectTimeout():
            return "no connection in time"
        case requests.exceptions.Timeout():
            return f"no answer within {call.limits.read:g} seconds"
    return f"no connection, or it broke ({type(error).__name__})"


class _Call:
    """One call's connection: to which address, and how it is ended."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.ended = False
        self.refused = ""
        self._line: socket.socket | None = None

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to an address that was checked. Raises OSError."""
        try:
            found = addresses(host, port, self.limits.allow_private)
        except NotAllowed as refusal:
            self.refused = str(refusal)
            raise
        except (OSError, UnicodeError) as error:
            self.refused = "the name leads nowhere"
            raise OSError(self.refused) from error
        made = _first(found, port, self.limits.connect)
        self._line = made.dup()  # TLS takes the socket itself over
        if self.ended:
            self.end()
        return made

    def end(self) -> None:
        """End it, whatever it waits for."""
        self.ended = True
        if self._line is not None:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give it back."""
        if self._line is not None:
            self._line.close()


def _first(addresses: Sequence[str], port: int, seconds: float) -> socket.socket:
    """A connection to the first address that takes one. Raises OSError where none does."""
    for address in addresses[:-1]:
        with suppress(OSError):
            return socket.create_connection((address, port), seconds)
    return socket.create_connection((addresses[-1], port), seconds)


class _Adapter(HTTPAdapter):
    def __init__(self, call: _Call) -> None:
        self._call = call
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        call = self._call

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return _connect(call, self)

        class Encrypted(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return _connect(call, self)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class EncryptedPool(HTTPSConnectionPool):
            ConnectionCls = Encrypted

        manager = PoolManager(1)
        manager.pool_classes_by_scheme = {"http": PlainPool, "https": EncryptedPool}
        self.poolmanager = manager


def _connect(call: _Call, connection: HTTPConnection) -> socket.socket:
    try:
        return call.connect(connection.host.strip("[]"), connection.port or _HTTPS)
    except OSError as error:
        raise NewConnectionError(connection, str(error)) from error


_HTTPS: Final = 443
