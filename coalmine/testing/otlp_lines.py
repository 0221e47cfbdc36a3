"""Traces that a program appended to a file (``COALMINE_TRACES_FILE``), for tests that read them.

run(program, {"COALMINE_TRACES_FILE": str(path)})
(written,) = [span for span in read_spans(path) if span.name == "envoy.write"]
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coalmine.testing.otlp_receiver import ReceivedSpan

_ERROR = 2


def read_spans(path: Path) -> list[ReceivedSpan]:
    """Every span in a file as OpenTelemetry's "OTLP File Exporter" has it; none in one that is not there yet.

    Raises:
        ValueError: a line is no JSON: torn, or somebody else's.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [span for line in lines if line for span in _spans(json.loads(line))]


def _spans(said: dict[str, Any]) -> Iterator[ReceivedSpan]:
    for group in said["resourceSpans"]:
        service = str(_values(group["resource"].get("attributes", ())).get("service.name", ""))
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                yield ReceivedSpan(
                    name=span["name"],
                    trace_id=span["traceId"],
                    span_id=span["spanId"],
                    parent=span.get("parentSpanId", ""),
                    service=service,
                    began=int(span["startTimeUnixNano"]),
                    ended=int(span["endTimeUnixNano"]),
                    failed=span.get("status", {}).get("code") == _ERROR,
                    attributes=_values(span.get("attributes", ())),
                    links=tuple(link["traceId"] for link in span.get("links", ())),
                    text=json.dumps(span),
                )


def _values(pairs: Any) -> dict[str, Any]:
    """Attributes; what protobuf's JSON has as text, since it may not fit into a number of JavaScript, as the number."""
    found = {}
    for pair in pairs:
        ((kind, value),) = pair["value"].items()
        found[pair["key"]] = int(value) if kind == "intValue" else value
    return found
