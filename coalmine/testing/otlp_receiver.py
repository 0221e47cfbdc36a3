"""An OTLP/HTTP receiver on loopback: what a program traces, for tests that read it.

with OtlpReceiver() as receiver:
    run(program, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})
    (written,) = receiver.await_spans(lambda span: span.name == "envoy.write")
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from coalmine.errors import MissingExtra
from coalmine.testing.threaded_server import Quiet, ThreadedServer


@dataclass(frozen=True)
class ReceivedSpan:
    """One span; ids in hexadecimal, ``parent`` empty at a trace's root, times in nanoseconds since 1970."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    service: str
    began: int
    ended: int
    failed: bool
    attributes: dict[str, Any] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    """Trace ids of other traces it points at."""
    text: str = ""
    """All of it as protobuf writes it for people: to look for what must not be there."""


class OtlpReceiver(ThreadedServer):
    """Takes traces in a thread of its own, and keeps them all."""

    def __init__(self, *, hang: bool = False) -> None:
        """``hang``: take connections, and answer none before the end.

        Raises:
            MissingExtra: the extra ``telemetry`` is not installed.
        """
        try:
            from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: F401
        except ImportError:
            raise MissingExtra("telemetry", "OtlpReceiver") from None
        self._news = threading.Condition()
        self._spans: list[ReceivedSpan] = []
        self._closing = threading.Event()
        self.requests = 0
        """How often something was sent here."""
        super().__init__(_handler(self, hang))

    @property
    def spans(self) -> list[ReceivedSpan]:
        """Everything that came so far."""
        with self._news:
            return list(self._spans)

    def await_spans(self, wanted: Callable[[ReceivedSpan], bool], within: float = 60) -> list[ReceivedSpan]:
        """Those that are wanted, once there is one.

        Raises:
            TimeoutError: none came within so many seconds; says the names of those that did.
        """

        def found() -> list[ReceivedSpan]:
            return [span for span in self._spans if wanted(span)]

        with self._news:
            if not self._news.wait_for(lambda: bool(found()), within):
                names = sorted({span.name for span in self._spans})
                raise TimeoutError(f"no such span within {within:g} s; there were {', '.join(names) or 'none'}")
            return found()

    def stop(self) -> None:
        """Let go whom it does not answer, and end."""
        self._closing.set()
        super().stop()

    def _take(self, body: bytes, hang: bool) -> None:
        with self._news:
            self.requests += 1
            self._news.notify_all()
        if hang:
            self._closing.wait()
            return
        spans = _decoded(body)
        with self._news:
            self._spans += spans
            self._news.notify_all()


def _handler(receiver: OtlpReceiver, hang: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            code = 200 if self.path == "/v1/traces" else 404
            if code == 200:
                receiver._take(body, hang)
            try:
                self.send_response(code)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                return  # Whoever sent it has gone.

    return Handler


def _decoded(body: bytes) -> list[ReceivedSpan]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans = []
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = str(_values(group.resource.attributes).get("service.name", ""))
        for scope in group.scope_spans:
            for span in scope.spans:
                spans.append(
                    ReceivedSpan(
                        name=span.name,
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent=span.parent_span_id.hex(),
                        service=service,
                        began=span.start_time_unix_nano,
                        ended=span.end_time_unix_nano,
                        failed=span.status.code == 2,
                        attributes=_values(span.attributes),
                        links=tuple(link.trace_id.hex() for link in span.links),
                        text=str(span),
                    )
                )
    return spans


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}
