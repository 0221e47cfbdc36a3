"""What leaves the process: names, ids, numbers and types of errors; no words of errors, nothing of specs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from coalmine.records import RolloutContext
from coalmine.telemetry.export import Discreet
from coalmine.telemetry.interceptor import LOOKS_TRACED, RolloutTracing, is_late


def test_words_of_errors_and_unknown_attributes_stay_here() -> None:
    seen = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Discreet(seen)))
    told = {"coalmine.proxy": "http://ana:hunter2@proxy:9901", "spec": "hunter2"}
    with provider.get_tracer("test").start_as_current_span("RunActivity:shift", attributes=told) as span:
        span.record_exception(ValueError("hunter2"))
        span.set_status(Status(StatusCode.ERROR, "ValueError: hunter2"))
    (left,) = seen.get_finished_spans()
    assert dict(left.attributes or {}) == {"coalmine.proxy": "http://***@proxy:9901"}
    assert (left.status.status_code, left.status.description) == (StatusCode.ERROR, None)
    assert [dict(event.attributes or {}) for event in left.events] == [{"exception.type": "ValueError"}]
    assert "hunter2" not in left.to_json()


def test_headers_hold_the_ids_of_a_trace_and_no_baggage() -> None:
    tracer, carried = TracerProvider(shutdown_on_exit=False).get_tracer("test"), dict[str, str]()
    token = attach(baggage.set_baggage("user.email", "xenia@example.com"))
    try:
        with tracer.start_as_current_span("a job"):
            RolloutTracing(tracer).text_map_propagator.inject(carried)
    finally:
        detach(token)
    assert list(carried) == ["traceparent"]


@pytest.mark.parametrize(
    ("name", "asked", "late"),
    [
        ("collect", {"look": LOOKS_TRACED}, False),
        ("collect", {"look": LOOKS_TRACED + 1}, True),
        ("evaluate", {"context": RolloutContext(look=LOOKS_TRACED + 1)}, True),
        ("evaluate", {"context": None}, False),
        ("shift", {"look": LOOKS_TRACED + 1}, False),
    ],
)
def test_looks_are_traced_up_to_a_number(name: str, asked: dict[str, Any], late: bool) -> None:
    assert is_late(name, [SimpleNamespace(**asked)]) is late
