"""Spans for code that does not know whether anybody traces: without tracing all of this does nothing.

Attributes are named ``coalmine.<name>`` and say which rollout and what was done, never what a spec holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

PREFIX = "coalmine."

_tracer: Tracer | None = None
_api: Any = None
"""The package ``opentelemetry.trace``, once there is a tracer: what is imported within the sandbox of workflows, where
log lines ask for ids too, would be another one."""


def use(tracer: Tracer | None) -> None:
    """Make spans by this tracer from now on; None: make none."""
    global _tracer, _api
    if tracer is not None:
        import opentelemetry.trace.propagation.tracecontext

        _api = opentelemetry.trace
    _tracer = tracer


class Marks:
    """What can be written on a span; on none, nothing happens."""

    def __init__(self, span: Span | None = None) -> None:
        self._span = span

    def set(self, **attributes: Any) -> None:
        """Add attributes; None and empty texts are left out."""
        if self._span is not None:
            self._span.set_attributes(named(attributes))


@contextmanager
def span(name: str, **attributes: Any) -> Iterator[Marks]:
    """A span around the block, below the current one; an error leaves its type on it, not its words."""
    if _tracer is None:
        yield Marks()
        return
    with _tracer.start_as_current_span(
        name, attributes=named(attributes), record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield Marks(made)
        except BaseException as error:
            made.set_attribute("error.type", type(error).__name__)
            made.set_status(_api.Status(_api.StatusCode.ERROR))
            raise


def past(name: str, began: int, ended: int, **attributes: Any) -> None:
    """A span of something that is over, below the current one; times in nanoseconds since 1970."""
    if _tracer is not None:
        _tracer.start_span(name, start_time=began, attributes=named(attributes)).end(ended)


def current() -> Marks:
    """The span this code runs in."""
    if _tracer is None:
        return Marks()
    return Marks(_api.get_current_span())


def ids() -> dict[str, str]:
    """``trace_id`` and ``span_id`` of the span this code runs in, in hexadecimal; empty when there is none."""
    if _tracer is None:
        return {}
    context = _api.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": _api.format_trace_id(context.trace_id), "span_id": _api.format_span_id(context.span_id)}


def traceparent() -> str:
    """The span this code runs in as W3C writes it, to be read elsewhere; empty when there is none."""
    if _tracer is None:
        return ""
    carrier: dict[str, str] = {}
    _api.propagation.tracecontext.TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def named(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes under their full names."""
    return {
        name if "." in name else f"{PREFIX}{name}": value if isinstance(value, bool | int | float) else str(value)
        for name, value in attributes.items()
        if value is not None and value != ""
    }
