"""A metric store that answers as it should but for one answer, which is fuzzed: so what comes after it is reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

from coalmine.records import CollectRequest, Window
from coalmine.spec.canary import Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.testing.fake_prometheus import FakeAnswer, FakePrometheus
from tests.fuzz.seeds import NOON

ARMS = Arms.model_validate({"baseline": {"version": "1", "backend": "v1"}, "canary": {"version": "2", "backend": "v2"}})
WINDOW = Window(start=NOON - timedelta(seconds=20), end=NOON)
KINDS = [
    Metric.model_validate({"source": "prometheus", **one})
    for one in (
        {"name": "errors", "kind": "ratio", "template": "http"},
        {"name": "latency", "kind": "latency", "template": "http"},
        {"name": "memory", "kind": "value", "values": 'memory_bytes{version="{arm.version}"}'},
        {"name": "kills", "kind": "count", "events": 'kills_total{version="{arm.version}"}'},
        {
            "name": "availability",
            "kind": "slo",
            "template": "http",
            "slo": {"objective": 0.99, "burn": [{"rate": 10, "long": "15s", "short": "5s"}]},
        },
        {"name": "queue", "kind": "threshold", "query": "time()", "limits": {"max": 5}},
    )
]
"""One of each kind."""


class Store:
    """Serves within a ``with``; ``swap`` sets which answer of the next collection is replaced, and by what."""

    def __init__(self) -> None:
        self.fake = FakePrometheus()
        self.asked = 0
        self._swap = (-1, b"")
        self.fake.answer = self._answer
        for seconds in range(-40, 1):
            at = round((NOON + timedelta(seconds=seconds)).timestamp() * 1000)
            for name, labels, value in _exposed(seconds + 40):
                self._add(name, {"job": "shop", "instance": "10.0.0.1:80", **labels}, at, value)

    def swap(self, place: int, body: bytes) -> None:
        """From now on the ``place``-th answer is ``body``."""
        self._swap, self.asked = (place, body), 0

    def request(self, metric: Metric) -> CollectRequest:
        """Collect one metric from here."""
        source = Source.model_validate({"url": self.fake.url, "scrape": "1s", "flush": "0s", "timeout": "2s"})
        return CollectRequest(window=WINDOW, metrics=[metric], arms=ARMS, sources={"prometheus": source})

    def _answer(self, query: str, headers: Mapping[str, str]) -> FakeAnswer | None:
        self.asked += 1
        place, body = self._swap
        return FakeAnswer(200, body, {"Content-Type": "application/json"}) if self.asked == place + 1 else None

    def _add(self, name: str, labels: dict[str, str], at: int, value: int) -> None:
        known = next((one for one in self.fake.series if one.labels == {"__name__": name, **labels}), None)
        if known is None:
            self.fake.add(name, labels, [(at, value)])
        else:
            known.samples.append((at, str(value)))


def _exposed(second: int) -> list[tuple[str, dict[str, str], int]]:
    found: list[tuple[str, dict[str, str], int]] = [("up", {}, 1)]
    for version in ("1", "2"):
        own = {"version": version}
        found += [
            ("http_requests_total", {**own, "code": "200"}, 10 * second),
            ("http_requests_total", {**own, "code": "503"}, second),
            ("http_request_duration_seconds_bucket", {**own, "le": "0.1"}, 7 * second),
            ("http_request_duration_seconds_bucket", {**own, "le": "0.25"}, 9 * second),
            ("http_request_duration_seconds_bucket", {**own, "le": "+Inf"}, 11 * second),
            ("http_request_duration_seconds_count", own, 11 * second),
            ("memory_bytes", own, 1_000_000 + second),
            ("kills_total", own, second // 10),
        ]
    return found


def split(data: bytes) -> tuple[int, int, bytes]:
    """Which metric, which of its answers, and the answer, of ``METRIC PLACE BODY``; 0 where that cannot be read."""
    head, _, rest = data.partition(b" ")
    place, _, body = rest.partition(b" ")
    return _digit(head), _digit(place), body


def _digit(text: bytes) -> int:
    return int(text) if len(text) == 1 and text.isdigit() else 0


def series_answer(store: Store, name: str) -> bytes:
    """What the store answers when it is asked for everything of a series."""
    at = round(NOON.timestamp() * 1000)
    return json.dumps(store.fake.evaluate(f"{name}[40000ms]", at)[1]).encode()


def store_seeds() -> list[bytes]:
    """A right answer at each place of each metric."""
    store = Store()
    names = ("up", "http_requests_total", "http_request_duration_seconds_bucket", "memory_bytes", "kills_total")
    with store.fake:
        bodies = [series_answer(store, name) for name in names]
    return [
        b"%d %d %b" % (metric, place, body) for metric in range(len(KINDS)) for place in range(4) for body in bodies
    ]
