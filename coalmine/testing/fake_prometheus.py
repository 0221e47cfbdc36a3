"""A Prometheus query API over HTTP that serves exactly the samples a test gives it.

It answers what Coalmine asks (``selector[range]``, ``last_over_time(selector[range])``, ``group by (label) (...)`` of
that, ``time()``, a label's values) as Prometheus does, and on request fails as Prometheus, its proxies and its
look-alikes do. No scraping, no clock of its own.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from coalmine.spec.selectors import parse_selector
from coalmine.testing.threaded_server import KeptAlive, ThreadedServer

_LABEL = re.compile(r"/api/v1/label/([A-Za-z_]\w*)/values")
_RANGE = re.compile(r"(last_over_time\()?(.+)\[(\d+)(ms|s)\]\)?", re.DOTALL)
_GROUPED = re.compile(r"group by \(([A-Za-z_]\w*)\) \((.+)\)", re.DOTALL)


@dataclass(frozen=True)
class FakeAnswer:
    """An HTTP answer in place of the regular one."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class FakeSeries:
    """A series: its labels and its samples, ``(milliseconds, value)`` in order of time."""

    labels: dict[str, str]
    samples: list[tuple[int, str]]


class FakePrometheus(ThreadedServer):
    """``with FakePrometheus() as server: server.add("up", {"job": "shop"}, [(0, 1)])`` and ask ``server.url``."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, left_open: bool = False) -> None:
        """``left_open`` leaves out the sample at a range's very start, as Prometheus 3 does."""
        self.series: list[FakeSeries] = []
        self.warnings: list[str] = []
        self.extra: dict[str, Any] = {}
        """Further keys of the answer, such as VictoriaMetrics' ``isPartial``."""
        self.exemplars: list[Mapping[str, Any]] | None = None
        """What the exemplars' API lists, whatever is asked; None: there is no such API."""
        self.max_samples: int | None = None
        self.clock: Callable[[], float] = time.time
        self.answer: Callable[[str, Mapping[str, str]], FakeAnswer | None] = lambda query, headers: None
        """Called with each query and its request's headers; an answer replaces the regular one."""
        self.queries: list[str] = []
        self._left_open = left_open
        super().__init__(self._handler(), tls)

    def add(self, name: str, labels: Mapping[str, str], samples: Sequence[tuple[int, float | str]]) -> FakeSeries:
        """Add a series; values are given as numbers or as Prometheus writes them."""
        made = FakeSeries({"__name__": name, **labels}, [(at, _text(value)) for at, value in samples])
        self.series.append(made)
        return made

    def evaluate(self, query: str, at: int) -> tuple[int, dict[str, Any]]:
        """The HTTP status and the JSON body for an instant query at a moment in milliseconds."""
        if query == "time()":
            return 200, self._success("scalar", [at / 1000, str(at / 1000)])
        grouped = _GROUPED.fullmatch(query)
        if grouped is not None:
            return self._grouped(grouped[1], *self.evaluate(grouped[2], at))
        match = _RANGE.fullmatch(query)
        if match is None:
            return 400, _failure("bad_data", f"this fake does not know {query!r}")
        try:
            selector = parse_selector(match[2])
        except ValueError as error:
            return 400, _failure("bad_data", str(error))
        low = at - int(match[3]) * (1 if match[4] == "ms" else 1_000)
        found: list[dict[str, Any]] = []
        for series in self.series:
            samples = [
                (when, value)
                for when, value in series.samples
                if (low < when if self._left_open else low <= when) and when <= at
            ]
            if samples and selector.accepts(series.labels):
                if match[1]:
                    found.append({"metric": series.labels, "value": [at / 1000, samples[-1][1]]})
                else:
                    found.append({"metric": series.labels, "values": [[when / 1000, value] for when, value in samples]})
        loaded = sum(len(item.get("values", ())) for item in found)
        if self.max_samples is not None and loaded > self.max_samples:
            return 422, _failure(
                "execution", "query processing would load too many samples into memory in query execution"
            )
        return 200, self._success("vector" if match[1] else "matrix", found)

    def _grouped(self, label: str, status: int, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """One series of the value 1 for each value of the label, also for none."""
        if status != 200:
            return status, body
        if body["data"]["resultType"] != "vector":
            return 400, _failure("bad_data", "expected type instant vector in aggregation expression, got range vector")
        found = {series["metric"].get(label): series["value"][0] for series in body["data"]["result"]}
        rows = [
            {"metric": {} if value is None else {label: value}, "value": [when, "1"]} for value, when in found.items()
        ]
        return status, self._success("vector", rows)

    def label_values(self, label: str, selector: str) -> list[str]:
        """The values of a label on the series that a selector names, whenever they had samples."""
        wanted = parse_selector(selector)
        return sorted({one.labels[label] for one in self.series if label in one.labels and wanted.accepts(one.labels)})

    def _success(self, kind: str, result: Any) -> dict[str, Any]:
        body: dict[str, Any] = {"status": "success", "data": {"resultType": kind, "result": result}, **self.extra}
        if self.warnings:
            body["warnings"] = self.warnings
        return body

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(KeptAlive, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = {key: values[-1] for key, values in parse_qs(parts.query).items()}
                query = asked.get("query", "")
                fake.queries.append(query)
                answer = fake.answer(query, dict(self.headers.items()))
                if answer is None and parts.path == "/api/v1/query_exemplars" and fake.exemplars is not None:
                    listed = {"status": "success", "data": fake.exemplars}
                    answer = FakeAnswer(200, json.dumps(listed).encode(), {"Content-Type": "application/json"})
                label = _LABEL.fullmatch(parts.path)
                if answer is None and label is not None and "match[]" in asked:
                    listed = {"status": "success", "data": fake.label_values(label[1], asked["match[]"])}
                    answer = FakeAnswer(200, json.dumps(listed).encode(), {"Content-Type": "application/json"})
                if answer is None and parts.path != "/api/v1/query":
                    answer = FakeAnswer(404, b"404 page not found")
                if answer is None:
                    at = round(float(asked["time"]) * 1000) if "time" in asked else round(fake.clock() * 1000)
                    status, body = fake.evaluate(query, at)
                    answer = FakeAnswer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

        return Handler


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}" if value != int(value) else str(int(value))


def _failure(kind: str, text: str) -> dict[str, Any]:
    return {"status": "error", "errorType": kind, "error": text}
