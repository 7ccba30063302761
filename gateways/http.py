"""The only HTTP client: one gateway's address, over the transport that suits how it is called.

A call that has its thread to itself goes over requests; calls that a loop carries, many at once, go over libcurl. Both
class each error by what it proves (E3): `NotSent` is tried again here, until `send_by`; `MaybeDone` proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import tenacity

from gateways import loop
from gateways.by_curl import CurlTransport
from gateways.by_requests import RequestsTransport
from gateways.exchange import TOO_LATE, Answered, Exchange, MaybeDone, NotSent, Request
from rules.errors import SettingsError, shown

__all__ = ["TRIES_MAX", "Answered", "Exchange", "HttpClient", "MaybeDone", "NotSent"]

TRIES_MAX: Final = 3
"""How often a call that was certainly not sent is tried, the first try included."""


class HttpClient:
    """One gateway's address, over kept-alive connections; safe to be called from many threads.

    It follows no redirect, reads no environment (proxy, netrc, certificates), verifies TLS and has no hidden retries.
    `connect_timeout` and `read_timeout` are in seconds. Raises SettingsError for an address that is not https, save on
    loopback. To be made after the process was forked.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], pool_size: int, connect_timeout: float, read_timeout: float
    ) -> None:
        _check_address(url)
        headers = {"User-Agent": "Defray", **headers}
        self._alone = RequestsTransport(url, headers, pool_size, connect_timeout, read_timeout)
        self._among_many = CurlTransport(url, headers, connect_timeout, read_timeout)
        self._tries = tenacity.Retrying(
            sleep=loop.pause,
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
        request = Request(method, path, body, headers or {}, send_by)
        exchange = self._send_once(request)
        if isinstance(exchange, NotSent):
            exchange = self._tries(_FirstTried(exchange, self._send_once), request)
        return exchange

    def _send_once(self, request: Request) -> Exchange:
        if time.monotonic() >= request.send_by:
            return TOO_LATE
        carrier = loop.current()
        return self._among_many.send_once(request, carrier) if carrier else self._alone.send_once(request)


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


class _FirstTried:
    """The tries of a request whose first one was made, since nearly all need no other."""

    def __init__(self, first: Exchange, again: Callable[[Request], Exchange]) -> None:
        self._first: Exchange | None = first
        self._again = again

    def __call__(self, request: Request) -> Exchange:
        first, self._first = self._first, None
        return first or self._again(request)


class _PastSendBy(tenacity.stop.stop_base):
    """Stop where another try would begin after `send_by`."""

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        request: Request = state.args[0]
        return time.monotonic() + state.upcoming_sleep >= request.send_by


def _last_exchange(state: tenacity.RetryCallState) -> Any:
    return state.outcome.result() if state.outcome else None
