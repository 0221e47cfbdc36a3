"""What PrometheusSource collects for gauges, events without requests, objectives and plain limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from activities.sources.prometheus import PrometheusSource
from coalmine.errors import QueryRejected
from coalmine.records import ArmCounts, BurnCounts, CollectRequest, MetricCounts, Window
from coalmine.spec.canary import Arm, Arms
from coalmine.spec.metrics import BurnRate, Limits, Metric, Slo
from coalmine.spec.sources import Source
from coalmine.testing.fake_prometheus import FakeAnswer, FakePrometheus

T0 = 1_772_366_400_000
ARMS = Arms(baseline=Arm(version="1", backend="shop-v1"), canary=Arm(version="2", backend="shop-v2"))
MEMORY = Metric(name="memory", kind="value", values='memory_bytes{version="{arm.version}"}')
KILLS = Metric(name="kills", kind="count", events='kills_total{version="{arm.version}"}')
QUEUE = Metric(name="queue", kind="threshold", query='max(queue{version="{arm.version}"})', limits=Limits(max=5))
AVAILABILITY = Metric(
    name="availability",
    kind="slo",
    template="http",
    slo=Slo(
        objective=0.99,
        burn=[BurnRate(rate=10, long=timedelta(seconds=15), short=timedelta(seconds=5))],
    ),
)


class Store:
    """A fake Prometheus scraped every second; the window is (20 s, 30 s]."""

    def __init__(self, server: FakePrometheus, adapter: PrometheusSource) -> None:
        self.server, self.adapter = server, adapter
        self.source = Source(url=server.url, scrape=timedelta(seconds=1), flush=timedelta(seconds=0))

    def add(self, name: str, labels: Mapping[str, str], values: Mapping[int, float | str]) -> None:
        self.server.add(name, labels, [(T0 + second * 1000, value) for second, value in values.items()])

    def gauge(self, version: str, instance: str, level: float | str) -> None:
        labels = {"job": "shop", "instance": instance, "version": version}
        self.add("memory_bytes", labels, dict.fromkeys(range(10, 33), level))

    def counter(self, name: str, version: str, rate: float, **labels: str) -> None:
        found = {"job": "shop", "instance": "a:80", "version": version, **labels}
        self.add(name, found, {second: rate * (second - 10) for second in range(10, 33)})

    async def collect(self, metric: Metric, *, compare: bool = True) -> MetricCounts:
        request = CollectRequest(
            window=Window(start=moment(20), end=moment(30)),
            metrics=[metric],
            arms=ARMS,
            sources={"prometheus": self.source},
            compare=compare,
        )
        return await self.adapter.collect(self.source, metric, request)


def moment(second: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=T0 + round(second * 1000))


@pytest.fixture
def store(server: FakePrometheus, prometheus_source: PrometheusSource) -> Store:
    return Store(server, prometheus_source)


# ----------------------------------------------------------------------------------------------------- value


async def test_every_instance_is_one_mean_over_the_window(store: Store) -> None:
    store.gauge("1", "a:80", 100)
    store.gauge("1", "b:80", 300)
    labels = {"job": "shop", "instance": "c:80", "version": "2"}
    store.add("memory_bytes", labels, {second: float(second) for second in range(10, 33)})
    counts = await store.collect(MEMORY)
    assert counts.baseline == ArmCounts(values=[100.0, 300.0])
    # The samples of 21 to 30 s: the window's start is not in it, its end is.
    assert counts.canary == ArmCounts(values=[25.5])
    assert counts.seconds == 10.0
    assert 'memory_bytes{version="2"}[10000ms]' in counts.queries[-1]


async def test_the_bake_reads_the_canary_alone(store: Store) -> None:
    store.gauge("2", "c:80", 7)
    counts = await store.collect(MEMORY, compare=False)
    assert (counts.baseline, counts.canary) == (None, ArmCounts(values=[7.0]))


async def test_instances_without_a_number_are_left_out_and_named(store: Store) -> None:
    store.gauge("1", "a:80", 100)
    store.gauge("2", "b:80", "NaN")
    store.gauge("2", "c:80", 5)
    counts = await store.collect(MEMORY)
    assert counts.canary == ArmCounts(values=[5.0])
    assert any("instance='b:80'" in warning and warning.startswith("canary: ") for warning in counts.warnings)


async def test_many_instances_travel_as_their_mean(store: Store) -> None:
    store.gauge("1", "a:80", 1)
    for index in range(150):
        store.gauge("2", f"host-{index}:80", index)
    counts = await store.collect(MEMORY)
    assert counts.canary == ArmCounts(values=[74.5])
    assert "canary: the mean of 150 instances is kept, not each" in counts.warnings


async def test_the_mean_of_the_largest_numbers_is_one(store: Store) -> None:
    """Their sum is none."""
    store.gauge("1", "a:80", 1)
    for index in range(150):
        store.gauge("2", f"host-{index}:80", 1e307)
    counts = await store.collect(MEMORY)
    assert counts.canary is not None
    assert counts.canary.values == pytest.approx([1e307])


async def test_no_values_are_told_apart(store: Store) -> None:
    store.gauge("1", "a:80", "NaN")
    store.add("memory_bytes", {"version": "2", "instance": "c:80"}, dict.fromkeys(range(10, 24), 3))
    counts = await store.collect(MEMORY)
    assert counts.status == "no_data"
    assert counts.reason.startswith("baseline: NaN: no instance of the baseline has a number for memory_bytes")
    assert "canary: stale since" in counts.reason
    empty = await store.collect(MEMORY.model_copy(update={"values": 'cpu{version="{arm.version}"}'}))
    assert "canary: empty: the canary has no sample in the window" in empty.reason


async def test_a_histogram_is_no_gauge(store: Store) -> None:
    store.add("memory_bytes", {"version": "1", "le": "5"}, {25: 1, 30: 1})
    with pytest.raises(QueryRejected, match="is a histogram bucket, no gauge"):
        await store.collect(MEMORY)


# ----------------------------------------------------------------------------------------------------- count


async def test_events_are_counted_without_requests(store: Store) -> None:
    store.counter("kills_total", "1", 3)
    store.counter("kills_total", "2", 1)
    counts = await store.collect(KILLS)
    assert counts.baseline == ArmCounts(total=0, events=30)
    assert counts.canary == ArmCounts(total=0, events=10)


async def test_an_arm_without_the_counter_has_no_data(store: Store) -> None:
    store.counter("kills_total", "1", 3)
    counts = await store.collect(KILLS)
    assert counts.status == "no_data"
    assert counts.reason.startswith("canary: empty")


# ------------------------------------------------------------------------------------------------------- slo


async def test_an_objective_brings_its_long_and_short_windows(store: Store) -> None:
    store.counter("http_requests_total", "1", 90, code="200")
    store.counter("http_requests_total", "2", 8, code="200")
    store.counter("http_requests_total", "2", 2, code="503")
    counts = await store.collect(AVAILABILITY)
    assert counts.baseline == ArmCounts(total=900, events=0)
    assert counts.canary == ArmCounts(
        total=100,
        events=20,
        burn=[BurnCounts(seconds=5, total=50, events=10), BurnCounts(seconds=15, total=150, events=30)],
    )


async def test_a_window_that_reaches_beyond_the_first_request_counts_what_there_was(store: Store) -> None:
    store.counter("http_requests_total", "2", 8, code="200")
    long = AVAILABILITY.model_copy(
        update={
            "slo": Slo(objective=0.99, burn=[BurnRate(rate=10, long=timedelta(hours=6), short=timedelta(seconds=5))])
        }
    )
    counts = await store.collect(long, compare=False)
    assert counts.canary is not None
    assert counts.canary.burn is not None
    assert [(burn.seconds, burn.events) for burn in counts.canary.burn] == [(5, 0), (21600, 0)]


# ------------------------------------------------------------------------------------------------- threshold


def answers(store: Store, result: object, kind: str = "vector") -> None:
    body = json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()
    store.server.answer = lambda query, headers: FakeAnswer(200, body, {"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("kind", "result"), [("vector", [{"metric": {}, "value": [T0 / 1000, "4.5"]}]), ("scalar", [T0 / 1000, "4.5"])]
)
async def test_a_query_answers_one_number(store: Store, kind: str, result: object) -> None:
    answers(store, result, kind)
    counts = await store.collect(QUEUE)
    assert counts.value == 4.5
    assert (counts.canary, counts.baseline) == (None, None)
    assert counts.queries == ['max(queue{version="2"})']
    assert store.server.queries == counts.queries


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ([], "empty: max(queue"),
        ([{"metric": {}, "value": [1, "NaN"]}], "NaN: max(queue"),
        ([{"metric": {}, "value": [1, "+Inf"]}], "not a number: max(queue"),
    ],
)
async def test_no_number_is_no_data(store: Store, result: object, reason: str) -> None:
    answers(store, result)
    counts = await store.collect(QUEUE)
    assert counts.status == "no_data"
    assert counts.reason.startswith(reason)


@pytest.mark.parametrize(
    ("kind", "result", "said"),
    [
        ("vector", [{"metric": {}, "value": [1, "1"]}] * 2, "answers 2 series: put sum"),
        ("matrix", [{"metric": {}, "values": [[1, "1"]]}], "answers a range or a histogram"),
        ("string", [1, "hello"], "answers a text, 'hello'"),
    ],
)
async def test_what_is_not_one_number_is_refused(store: Store, kind: str, result: object, said: str) -> None:
    answers(store, result, kind)
    with pytest.raises(QueryRejected, match=said):
        await store.collect(QUEUE)


# ----------------------------------------------------------------------------------------------------- check


async def test_check_says_what_is_there(store: Store) -> None:
    store.server.clock = lambda: T0 / 1000 + 31
    for version in ("1", "2"):
        store.gauge(version, "a:80", 100)
        store.counter("kills_total", version, 3)
    reasons = {}
    for metric in (MEMORY.model_copy(update={"suffix": "MB"}), KILLS):
        for check in await store.adapter.check(store.source, metric, ARMS):
            reasons[check.name] = check.reason
    assert reasons["memory: canary"] == "1 instance, on average 100 MB"
    assert "events in the last" in reasons["kills: baseline"]


async def test_check_asks_the_query(store: Store) -> None:
    now = T0 / 1000 + 31
    number = {"status": "success", "data": {"resultType": "scalar", "result": [now, "4.5"]}}
    clock = {"status": "success", "data": {"resultType": "scalar", "result": [now, str(now)]}}

    def answer(query: str, headers: Mapping[str, str]) -> FakeAnswer:
        body = clock if query == "time()" else number
        return FakeAnswer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    store.server.answer = answer
    checks = await store.adapter.check(store.source, QUEUE, ARMS)
    assert checks[-1].ok
    assert (checks[-1].name, checks[-1].reason) == ("queue: canary", "the query answers 4.5")
