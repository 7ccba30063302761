"""Traces: a request, the tasks that it woke and the calls they made have one id, wherever they run (W3C Trace Context).

The id stands in log lines and answers in any case. Spans are made and sent where an address for them is set, and cost
nothing where none is; only then the packages of the extra `traces` are needed.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Final, Literal

from rules.errors import SettingsError
from rules.redaction import redact_text

if TYPE_CHECKING:
    from telemetry import otlp

Kind = Literal["server", "consumer", "client", "internal"]
Said = str | int
"""What may stand in a span: ids, names and counts; texts pass the redactor."""

_TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Parent:
    """A span that may be in another process: what its traceparent says."""

    trace_id: str
    span_id: str
    sampled: bool


def parse(traceparent: object) -> Parent | None:
    """What a traceparent says; None for anything else."""
    found = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    return Parent(found[1], found[2], bool(int(found[3], 16) & 1)) if found else None


class Span:
    """A part of the work. `goes_on`: it has a parent; `led_on`: something else may know it as its own."""

    __slots__ = ("_linked", "_sent", "goes_on", "led_on", "sampled", "span_id", "trace_id")

    def __init__(self, trace_id: str, span_id: str, sampled: bool, goes_on: bool, sent: otlp.Sent | None) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.sampled = sampled
        self.goes_on = goes_on
        self.led_on = False
        self._sent = sent
        self._linked: set[Parent] = set()

    @property
    def traceparent(self) -> str:
        """By which another process, or the database, can name it."""
        self.led_on = True
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"

    def name(self, name: str) -> None:
        """Call it so, once that is known."""
        if self._sent:
            self._sent.name(name)

    def say(self, **said: Said) -> None:
        """Facts of it: `payment=7` becomes the attribute `defray.payment`."""
        if self._sent:
            self._sent.say({f"defray.{name}": _shown(value) for name, value in said.items()})

    def say_http(self, method: str, route: str, status: int) -> None:
        """Facts of a request, as the semantic conventions call them."""
        if self._sent:
            facts: dict[str, Said] = {"http.request.method": method, "http.response.status_code": status}
            self._sent.say(facts | ({"http.route": route} if route else {}))

    def link(self, traceparents: Iterable[str]) -> None:
        """It does what these other parts asked for; each is linked once, and its own trace is not."""
        parents = filter(None, map(parse, traceparents))
        if self._sent and (new := {one for one in parents if one.trace_id != self.trace_id} - self._linked):
            self._linked |= new
            self._sent.link(new)

    def failed(self, why: str) -> None:
        """It ended by an error: its kind, never its words."""
        if self._sent:
            self._sent.failed(why)

    def end(self) -> None:
        """It is over, and is sent."""
        if self._sent:
            self._sent.end()


_present: ContextVar[Span | None] = ContextVar("span", default=None)
_exports: list[otlp.Export] = []


def check(endpoint: str | None) -> None:
    """Raise SettingsError where spans are to be sent and the packages for that are missing."""
    if endpoint:
        _otlp()


def begin(process: str, endpoint: str | None, headers: Mapping[str, str]) -> None:
    """Send spans from now on, where an address is given; after the fork, since it takes a thread.

    Raises SettingsError where the packages are missing.
    """
    end()
    if endpoint:
        _exports[:] = [_otlp().Export(process, endpoint, headers)]


def _otlp() -> ModuleType:
    try:
        from telemetry import otlp  # noqa: PLC0415 - its packages are there where they are wanted
    except ModuleNotFoundError as reason:
        raise SettingsError(
            "DEFRAY_TRACES_ENDPOINT is set, and the packages that send traces are not installed.",
            "Install them: pip install 'defray[traces]'.",
        ) from reason
    return otlp


def end() -> None:
    """Send what is not sent yet, for a few seconds at the most."""
    while _exports:
        _exports.pop().end()


def sent() -> bool:
    """Whether spans are sent."""
    return bool(_exports)


def current() -> Span | None:
    """The part of the work that is being done."""
    return _present.get()


def traceparent() -> str | None:
    """How the present part is named elsewhere; None outside of any."""
    span = _present.get()
    return span.traceparent if span else None


def kept() -> str | None:
    """What the database keeps of the present part: its name, where spans of it are sent; else None."""
    span = _present.get()
    return span.traceparent if span and span.sampled and _exports else None


def enter(name: str, kind: Kind, came_from: Parent | None = None) -> Span:
    """Begin what no other part in this process began: a request, a task. It is the present one until `leave`."""
    span = _begun(name, kind, came_from)
    _present.set(span)
    return span


def leave() -> None:
    """There is no present part any more."""
    _present.set(None)


@contextmanager
def part(name: str, kind: Kind = "internal", **said: Said) -> Iterator[Span | None]:
    """A part of the present one, over the block; None, and no more than that, where no spans are sent."""
    present = _present.get()
    if not _exports or present is None:
        yield None
        return
    span = below(present, name, kind, **said)
    token = _present.set(span)
    try:
        yield span
    except BaseException as error:
        span.failed(type(error).__name__)
        raise
    finally:
        _present.reset(token)
        span.end()


def below(present: Span, name: str, kind: Kind, **said: Said) -> Span:
    """A part of another one, to be ended by its caller: for work that goes on beside."""
    present.led_on = True
    span = _begun(name, kind, Parent(present.trace_id, present.span_id, present.sampled))
    span.say(**said)
    return span


def _begun(name: str, kind: Kind, parent: Parent | None) -> Span:
    goes_on = parent is not None
    if _exports:
        begun = _exports[0].begun(name, kind, parent)
        return Span(begun.trace_id, begun.span_id, begun.sampled, goes_on, begun)
    trace_id = parent.trace_id if parent else secrets.token_hex(16)
    return Span(trace_id, secrets.token_hex(8), False, goes_on, None)


def _shown(value: Said) -> Said:
    return redact_text(value) if isinstance(value, str) else value
