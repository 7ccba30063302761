"""What is sent to a gateway, and what the exchange proved (E3): the words that both transports share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

BODY_BYTES_MAX: Final = 1 << 20
"""A reply longer than this is no gateway's: 1 MiB."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request below a gateway's address; its first byte leaves before `send_by` on the monotonic clock, or never.

    The parts of `path` must be quoted already.
    """

    method: str
    path: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    send_by: float

    @property
    def has_body(self) -> bool:
        """Whether a length is sent, be it 0."""
        return bool(self.body) or self.method != "GET"


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

TOO_LATE: Final = NotSent("send_by", "the time to send it by had passed")


def redirected(status: int) -> MaybeDone | None:
    """What a redirect proves, which is never followed."""
    if 300 <= status < 400:
        return MaybeDone(f"http_{status}", "the gateway redirects, which is not followed")
    return None


def too_long() -> MaybeDone:
    """What a reply that doesn't end proves."""
    return MaybeDone("too_long", f"the reply is longer than {BODY_BYTES_MAX} bytes")


def too_slow(seconds: float) -> MaybeDone:
    """What a reply that trickles proves."""
    return MaybeDone("too_slow", f"the reply takes longer than {seconds:g} s")


def decoded(body: bytes) -> str:
    """A reply's text: UTF-8, or else Latin-1, which takes any byte."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("latin-1")
