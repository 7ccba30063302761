"""Exchanges over requests, one on each thread that calls.

A connection notes the moment before its first byte may leave. An error before that moment proves that nothing was sent,
any error after it proves nothing (E3).
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from gateways.exchange import (
    BODY_BYTES_MAX,
    TOO_LATE,
    Answered,
    Exchange,
    MaybeDone,
    NotSent,
    Request,
    decoded,
    redirected,
    too_long,
    too_slow,
)
from rules.redaction import redact_text

POOL_SECONDS: Final = 5.0
"""How long a call waits for a free connection."""


class RequestsTransport:
    """One gateway's address, over kept-alive connections. `connect_timeout` and `read_timeout` are in seconds."""

    def __init__(
        self, url: str, headers: Mapping[str, str], pool_size: int, connect_timeout: float, read_timeout: float
    ) -> None:
        self._url = url
        self._template = requests.Request("POST", url, headers=headers).prepare()
        self._adapter = _Adapter(pool_connections=1, pool_maxsize=pool_size, max_retries=0, pool_block=True)
        self._timeout = (connect_timeout, read_timeout)

    def send_once(self, asked: Request) -> Exchange:
        """Send it once, or not at all."""
        request = self._template.copy()
        request.method = asked.method
        request.url = self._url + asked.path
        request.headers.update(asked.headers)
        if asked.has_body:
            request.body = asked.body
            request.headers["Content-Length"] = str(len(asked.body))
        _wire.sent, _wire.send_by = False, asked.send_by
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
            return TOO_LATE

    def _read(self, response: requests.Response) -> Exchange:
        if redirect := redirected(response.status_code):
            return redirect
        body, slowest = bytearray(), time.monotonic() + self._timeout[1]
        while chunk := response.raw.read1(BODY_BYTES_MAX, decode_content=True):
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                return too_long()
            if time.monotonic() > slowest:
                return too_slow(self._timeout[1])
        return Answered(response.status_code, response.headers, decoded(bytes(body)))


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
