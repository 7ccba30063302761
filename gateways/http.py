"""The only HTTP client, and the only place that turns an exception into what it proves (E3).

A connection notes the moment before its first byte may leave. An error before that moment proves that nothing was sent
(`NotSent`: tried again here, until `send_by`); any error after it proves nothing (`MaybeDone`).
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import tenacity
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from rules.errors import SettingsError, shown
from rules.redaction import redact_text

BODY_BYTES_MAX: Final = 1 << 20
"""A reply longer than this is no gateway's: 1 MiB."""

POOL_SECONDS: Final = 5.0
"""How long a call waits for a free connection."""

TRIES_MAX: Final = 3
"""How often a call that was certainly not sent is tried, the first try included."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole reply came back. `text` may repeat secrets: it is never shown."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request left this machine."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class MaybeDone:
    """The request, or a part of it, left; what became of it is not known."""

    code: str
    message: str


Exchange = Answered | NotSent | MaybeDone

_TOO_LATE: Final = NotSent("send_by", "the time to send it by had passed")


class HttpClient:
    """One gateway's address, over kept-alive connections; safe to be called from many threads.

    It follows no redirect, reads no environment (proxy, netrc, certificates), verifies TLS and has no hidden retries.
    `connect_timeout` and `read_timeout` are in seconds. Raises SettingsError for an address that is not https, save on
    loopback.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], pool_size: int, connect_timeout: float, read_timeout: float
    ) -> None:
        _check_address(url)
        self._url = url
        self._template = requests.Request("POST", url, headers={"User-Agent": "Defray", **headers}).prepare()
        self._adapter = _Adapter(pool_connections=1, pool_maxsize=pool_size, max_retries=0, pool_block=True)
        self._timeout = (connect_timeout, read_timeout)
        self._tries = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda exchange: isinstance(exchange, NotSent)),
            wait=tenacity.wait_exponential(multiplier=0.1, max=2.0) + tenacity.wait_random(0, 0.1),
            stop=tenacity.stop_after_attempt(TRIES_MAX) | _PastSendBy(),
            retry_error_callback=_last_exchange,
        )

    def post(self, body: bytes, send_by: float, headers: Mapping[str, str] | None = None) -> Exchange:
        """Send `body` once, or not at all if the monotonic clock has passed `send_by` (E1)."""
        return self.send("POST", "", body, send_by, headers)

    def send(
        self, method: str, path: str, body: bytes, send_by: float, headers: Mapping[str, str] | None = None
    ) -> Exchange:
        """As `post`, by another method or to a `path` below the address; its parts must be quoted already."""
        exchange: Exchange = self._tries(self._send_once, (method, path, body), send_by, headers or {})
        return exchange

    def _send_once(self, asked: tuple[str, str, bytes], send_by: float, headers: Mapping[str, str]) -> Exchange:
        if time.monotonic() >= send_by:
            return _TOO_LATE
        request = self._template.copy()
        request.method, path, body = asked
        request.url = self._url + path
        request.headers.update(headers)
        if body or request.method != "GET":
            request.body = body
            request.headers["Content-Length"] = str(len(body))
        _wire.sent, _wire.send_by = False, send_by
        try:
            with self._adapter.send(request, stream=True, timeout=self._timeout) as response:
                return self._read(response)
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            http.client.HTTPException,
            OSError,
        ) as error:
            return _proof(error)
        except _TooLateError:
            return _TOO_LATE

    def _read(self, response: requests.Response) -> Exchange:
        if 300 <= response.status_code < 400:
            return MaybeDone(f"http_{response.status_code}", "the gateway redirects, which is not followed")
        body, slowest = bytearray(), time.monotonic() + self._timeout[1]
        while chunk := response.raw.read1(BODY_BYTES_MAX, decode_content=True):
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                return MaybeDone("too_long", f"the reply is longer than {BODY_BYTES_MAX} bytes")
            if time.monotonic() > slowest:
                return MaybeDone("too_slow", f"the reply takes longer than {self._timeout[1]:g} s")
        return Answered(response.status_code, response.headers, _decoded(bytes(body)))


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.username or parts.password:
        raise SettingsError("A gateway address holds a user name or password.", "Give them in their own settings.")
    if not host or parts.scheme not in ("http", "https"):
        raise SettingsError(f"The gateway address {shown(url, 80)} is not a URL.", "Give https://host/path.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise SettingsError(
            f"The gateway address {shown(url, 80)} would send card data in the clear.",
            "Use https; http is allowed to 127.0.0.1, ::1, localhost and NAME.localhost only.",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # The whole domain is reserved for loopback (RFC 6761), so no public host has such a name.
        return host == "localhost" or host.endswith(".localhost")


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("latin-1")


# ---- what an error proves


def _proof(error: BaseException) -> NotSent | MaybeDone:
    cause = _innermost(error)
    code, message = type(cause).__name__, redact_text(str(cause)).strip()[:200]
    return MaybeDone(code, message) if _wire.sent else NotSent(code, message)


def _innermost(error: BaseException) -> BaseException:
    """The error at the root: libraries wrap it in `reason`, in `args` or as the cause."""
    inner = getattr(error, "reason", None)
    if not isinstance(inner, BaseException):
        inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None) or error.__cause__
    return _innermost(inner) if inner is not None else error


class _PastSendBy(tenacity.stop.stop_base):
    """Stop where another try would begin after `send_by`."""

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        send_by: float = state.args[1]
        return time.monotonic() + state.upcoming_sleep >= send_by


def _last_exchange(state: tenacity.RetryCallState) -> Any:
    return state.outcome.result() if state.outcome else None


# ---- connections that know whether a byte left


class _Wire(threading.local):
    """Of the call that this thread is making."""

    sent = False
    send_by = 0.0


_wire = _Wire()


class _TooLateError(Exception):
    """`send_by` passed before the first byte was sent."""


def _mark_first_byte() -> None:
    if not _wire.sent and time.monotonic() >= _wire.send_by:
        raise _TooLateError
    _wire.sent = True


class _Http(HTTPConnection):
    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _mark_first_byte()
        super().send(data)


class _Https(HTTPSConnection):
    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _mark_first_byte()
        super().send(data)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http

    def urlopen(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("pool_timeout", POOL_SECONDS)
        return super().urlopen(*args, **kwargs)


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https

    def urlopen(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("pool_timeout", POOL_SECONDS)
        return super().urlopen(*args, **kwargs)


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
