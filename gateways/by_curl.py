"""Exchanges over libcurl, for many calls at once on one thread (gateways.loop).

libcurl asks before it sends (PREREQFUNCTION), also before it would send again over a new connection because a kept one
was dropped under the request, which it does by itself. Here the first time marks the send; a second is refused (E3).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Final

import certifi
import pycurl
from requests.structures import CaseInsensitiveDict

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
from gateways.loop import TIMED_OUT, Ends, Loop
from rules.redaction import redact_text

_HEAD_BYTES_MAX: Final = 1 << 16
_CODES: Final = {
    getattr(pycurl, name): name[2:].lower()
    for name in sorted(dir(pycurl), reverse=True)
    if name.startswith("E_") and not name.startswith(("E_FTP_", "E_MULTI_"))
}
_GO_ON: Final[int] = pycurl.PREREQFUNC_OK
_ABORT: Final[int] = pycurl.PREREQFUNC_ABORT
_OF_LIBCURLS_OWN: Final = ("Accept:", "Expect:")  # left out


class CurlTransport:
    """One gateway's address. `connect_timeout` and `read_timeout` are in seconds."""

    def __init__(self, url: str, headers: Mapping[str, str], connect_timeout: float, read_timeout: float) -> None:
        self._url = url
        self._headers = headers
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._idle: list[_Transfer] = []

    def send_once(self, request: Request, loop: Loop) -> Exchange:
        """Send it once, or not at all; the present call is parked meanwhile."""
        try:
            transfer = self._idle.pop()
        except IndexError:
            transfer = _Transfer(self._url, self._headers, self._connect_timeout, self._read_timeout)
        exchange = transfer.send(request, loop)
        self._idle.append(transfer)
        return exchange


class _Transfer:
    """A handle of libcurl's for one exchange at a time, and what is known of that exchange."""

    def __init__(self, url: str, headers: Mapping[str, str], connect_timeout: float, read_timeout: float) -> None:
        self._url = url
        self._read_timeout = read_timeout
        self._template = _lines(headers)
        self._loop: Loop | None = None
        self._forget()
        self.handle = handle = pycurl.Curl()
        handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTPS if url.lower().startswith("https:") else pycurl.PROTO_HTTP)
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        handle.setopt(pycurl.PROXY, "")
        handle.setopt(pycurl.NOPROXY, "*")
        handle.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
        handle.setopt(pycurl.FOLLOWLOCATION, 0)
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.SSL_VERIFYPEER, 1)
        handle.setopt(pycurl.SSL_VERIFYHOST, 2)
        handle.setopt(pycurl.CAINFO, certifi.where())
        handle.unsetopt(pycurl.CAPATH)
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, math.ceil(connect_timeout * 1000))
        handle.setopt(pycurl.ACCEPT_ENCODING, "identity")  # what comes encoded all the same is decoded
        handle.setopt(pycurl.PREREQFUNCTION, self._before_the_first_byte)
        handle.setopt(pycurl.HEADERFUNCTION, self._take_header)
        handle.setopt(pycurl.WRITEFUNCTION, self._take_body)

    def send(self, request: Request, loop: Loop) -> Exchange:
        """One exchange; nothing of it is kept."""
        handle = self.handle
        handle.setopt(pycurl.URL, self._url + request.path)
        handle.setopt(pycurl.HTTPHEADER, [*{**self._template, **_lines(request.headers)}.values(), *_OF_LIBCURLS_OWN])
        if request.has_body:
            handle.setopt(pycurl.POSTFIELDS, request.body)
        else:
            handle.setopt(pycurl.HTTPGET, 1)
        handle.setopt(pycurl.CUSTOMREQUEST, request.method)
        self._loop, self._send_by = loop, request.send_by
        code, message = loop.perform(self)
        if self._stale:
            handle.setopt(pycurl.FRESH_CONNECT, 1)
            code, message = loop.perform(self)
            handle.setopt(pycurl.FRESH_CONNECT, 0)
        exchange = self._exchange(code, message)
        handle.setopt(pycurl.POSTFIELDS, b"")
        self._forget()
        return exchange

    def _forget(self) -> None:
        self._loop = None
        self._send_by = -math.inf
        self.expires = math.inf
        self.ends: Ends = ()
        self._stale = self._too_late = self._sent = self._sent_before = self._head_ended = False
        self._head: list[bytes] = []
        self._head_bytes = 0
        self._body = bytearray()

    # -- asked by libcurl

    def _before_the_first_byte(self, *ends: object) -> int:
        now = time.monotonic()
        self._sent_before = self._sent
        self._too_late = not self._sent and now >= self._send_by
        if self._sent or self._too_late or self._loop is None:
            return _ABORT
        if not self._stale and self._loop.has_closed(ends):
            self._stale = True
            return _ABORT
        self.ends = ends
        self._sent = True
        self.expires = now + self._read_timeout
        self._loop.expect(self.expires)
        return _GO_ON

    def _take_header(self, line: bytes) -> int:
        self._head_bytes += len(line)
        if self._head_bytes > _HEAD_BYTES_MAX:
            return 0
        if line.startswith(b"HTTP/") and (self._head_ended or not self._head):  # the last of several, as after a 103
            self._head, self._head_ended = [line], False
        elif line == b"\r\n":
            self._head_ended = True
        elif not self._head_ended:  # what follows the body is not of the head
            self._head.append(line)
        return len(line)

    def _take_body(self, part: bytes) -> int:
        self._body += part
        return len(part) if len(self._body) <= BODY_BYTES_MAX else 0

    # -- what it proved

    def _exchange(self, code: int, message: str) -> Exchange:
        if self._too_late:
            return TOO_LATE
        if not self._sent:
            return NotSent(_CODES.get(code, str(code)), _shown(message))
        if self._sent_before:
            return MaybeDone("dropped", "the kept connection was dropped under the request")
        if code == TIMED_OUT:
            return too_slow(self._read_timeout) if self._head else MaybeDone("read_timeout", "no reply came in time")
        status = self.handle.getinfo(pycurl.RESPONSE_CODE)
        if redirect := redirected(status):
            return redirect
        if len(self._body) > BODY_BYTES_MAX:
            return too_long()
        if code:
            return MaybeDone(_CODES.get(code, str(code)), _shown(message))
        return Answered(status, _headers(self._head), decoded(bytes(self._body)))


def _lines(headers: Mapping[str, str]) -> dict[str, str]:
    """Each header's line, under its name in small letters. Raises ValueError where one would be two."""
    lines = {name.lower(): f"{name}: {value}" for name, value in headers.items()}
    if any("\r" in line or "\n" in line for line in lines.values()):
        raise ValueError("a header holds a line break")
    return lines


def _headers(head: list[bytes]) -> Mapping[str, str]:
    pairs = (line.decode("latin-1").partition(":") for line in head[1:])
    return CaseInsensitiveDict((name.strip(), value.strip()) for name, _, value in pairs)


def _shown(message: str) -> str:
    return redact_text(message).strip()[:200]
