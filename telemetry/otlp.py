"""Spans by OpenTelemetry's SDK, sent over OTLP/HTTP: needs the packages of the extra `traces`.

The provider is nobody else's: no library finds it, so none adds spans of its own with addresses, SQL or arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

if TYPE_CHECKING:
    from telemetry.traces import Kind, Parent, Said

_SECONDS: Final = 2
"""How long a collector has, its retries included: longer than that nobody waits at a process's end."""
_KINDS: Final[Mapping[Kind, SpanKind]] = {
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}
_log = logging.getLogger(__name__)


class Sent:
    """A span that will be sent when it ends."""

    __slots__ = ("_span", "sampled", "span_id", "trace_id")

    def __init__(self, span: Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace_id = format_trace_id(context.trace_id)
        self.span_id = format_span_id(context.span_id)
        self.sampled = context.trace_flags.sampled

    def name(self, name: str) -> None:
        """Call it so."""
        self._span.update_name(name)

    def say(self, facts: Mapping[str, Said]) -> None:
        """Set attributes."""
        self._span.set_attributes(facts)

    def link(self, parents: Iterable[Parent]) -> None:
        """Link it to spans of other traces."""
        for parent in parents:
            self._span.add_link(_context(parent))

    def failed(self, why: str) -> None:
        """Mark it as failed."""
        self._span.set_status(Status(StatusCode.ERROR, why))

    def end(self) -> None:
        """Hand it over to be sent."""
        self._span.end()


class Export:
    """Where this process sends its spans, in groups and on a thread of its own; what cannot be sent is dropped."""

    def __init__(self, process: str, endpoint: str, headers: Mapping[str, str]) -> None:
        # It warns of each try that fails; _ToldOnce says so once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
        self._told = _ToldOnce(OTLPSpanExporter(endpoint, headers=dict(headers), timeout=_SECONDS))
        self._provider = TracerProvider(
            resource=Resource.create({"service.namespace": "defray", "service.name": f"defray-{process}"}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._told))
        self._tracer = self._provider.get_tracer("defray")

    def begun(self, name: str, kind: Kind, parent: Parent | None) -> Sent:
        """A span that begins now."""
        above = set_span_in_context(NonRecordingSpan(_context(parent))) if parent else set_span_in_context(_NOTHING)
        return Sent(self._tracer.start_span(name, context=above, kind=_KINDS[kind]))

    def end(self) -> None:
        """Send what is left, unless the collector was away just now."""
        self._told.ending = True
        self._provider.shutdown()


_NOTHING: Final = NonRecordingSpan(SpanContext(0, 0, is_remote=False))


def _context(parent: Parent) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)


class _ToldOnce(SpanExporter):
    """Says once that spans cannot be sent, and once that they can again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False
        self.ending = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        if self.ending and self._failing:
            return SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        except OSError:  # older releases let it through
            result = SpanExportResult.FAILURE
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            _log.warning("spans are dropped: the collector does not take them")
        elif self._failing and not failing:
            _log.info("the collector takes spans again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()
