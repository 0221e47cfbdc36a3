"""What may leave the process in a trace: known attributes and types of errors, never their words.

Messages of errors quote specs, URLs and answers of other systems, and the SDK's spans repeat them, with stack traces.
They stay in the log, whose lines carry the trace id.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

from coalmine.redaction import redactor

KEPT = ("coalmine.", "temporal", "error.type")
"""How the names of attributes begin that are kept."""
ERROR_TYPE = "exception.type"


class Discreet(SpanExporter):
    """Passes spans on to another exporter, without what could be secret."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Pass on what may be seen."""
        return self._inner.export([discreet(span) for span in spans])

    def shutdown(self) -> None:
        """End the other exporter."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the other exporter."""
        return self._inner.force_flush(timeout_millis)


def discreet(span: ReadableSpan) -> ReadableSpan:
    """The span with kept attributes, without secrets in them; of errors their types only."""
    kept = {
        name: redactor.text(value) if isinstance(value, str) else value
        for name, value in (span.attributes or {}).items()
        if name.startswith(KEPT)
    }
    return ReadableSpan(
        name=redactor.text(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=kept,
        events=[_bare(event) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _bare(event: Event) -> Event:
    kind = (event.attributes or {}).get(ERROR_TYPE)
    return Event(event.name, {ERROR_TYPE: kind} if kind else {}, event.timestamp)
