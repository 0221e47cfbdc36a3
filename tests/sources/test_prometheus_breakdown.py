"""Counts by label from the very samples a look reads: exact, and honest about what is not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.diagnosis import DiagnosisActivities
from activities.sources.base import break_down
from activities.sources.prometheus import PrometheusSource
from activities.sources.prometheus_levels import inside
from coalmine.diagnosis import rank
from coalmine.records import BreakdownRequest, DiagnosisRequest, LabelBreakdown, MetricBreakdown, Window
from coalmine.spec.canary import Arm, Arms, Diagnose
from coalmine.spec.ledger import Ledger
from coalmine.spec.metrics import Limits, Metric, Slo
from coalmine.spec.sources import Source
from coalmine.testing.fake_prometheus import FakeAnswer, FakePrometheus

T0 = 1_772_366_400_000
ARMS = Arms(baseline=Arm(version="1", backend="shop-v1"), canary=Arm(version="2", backend="shop-v2"))
RATIO = Metric(name="errors", kind="ratio", template="http")
LATENCY = Metric(name="latency", kind="latency", template="http")


def moment(second: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=T0 + round(second * 1000))


class Store:
    """A fake Prometheus scraped every second, asked about the window (20 s, 30 s]."""

    def __init__(self, server: FakePrometheus, adapter: PrometheusSource) -> None:
        self.server = server
        self.adapter = adapter
        self.source = Source(url=server.url, scrape=timedelta(seconds=1), flush=timedelta(0))

    def counter(self, rate: int, name: str = "http_requests_total", **labels: str) -> None:
        samples = [(T0 + second * 1000, 1000 + rate * second) for second in range(10, 33)]
        self.server.add(name, {"job": "shop", **labels}, samples)

    def requests(self, version: str, pod: str, route: str, ok: int, failed: int) -> None:
        for code, rate in (("200", ok), ("502", failed)):
            self.counter(rate, version=version, instance=pod, route=route, code=code)

    async def ask(self, *labels: str, metric: Metric = RATIO, compare: bool = True, most: int = 50) -> MetricBreakdown:
        window = Window(start=moment(20), end=moment(30))
        asked = BreakdownRequest(
            window=window, arms=ARMS, labels=list(labels), compare=compare, most_values=most, most_exemplars=2
        )
        return await break_down(self.adapter, self.source, metric, asked)


@pytest.fixture
def store(server: FakePrometheus, prometheus_source: PrometheusSource) -> Store:
    store = Store(server, prometheus_source)
    for pod in ("a:80", "b:80"):
        store.requests("1", pod, "pay", ok=20, failed=0)
        store.requests("1", pod, "cart", ok=40, failed=1)
    store.requests("2", "c:80", "pay", ok=3, failed=5)
    store.requests("2", "c:80", "cart", ok=8, failed=0)
    return store


def cells(breakdown: LabelBreakdown) -> dict[str, tuple[int | None, int, int | None, int]]:
    return {
        one.value: (one.canary.events, one.canary.total, one.baseline.events, one.baseline.total)
        for one in breakdown.values
    }


async def test_each_label_adds_up_to_the_look(store: Store) -> None:
    found = await store.ask("route", "instance", "code", "region")
    by = {label.label: label for label in found.labels}
    assert list(by) == ["route", "instance", "code"], "no series carries a region"
    assert cells(by["route"]) == {"pay": (50, 80, 0, 400), "cart": (0, 80, 20, 820)}
    assert cells(by["instance"]) == {
        "c:80": (50, 160, 0, 0), "a:80": (0, 0, 10, 610), "b:80": (0, 0, 10, 610),
    }  # fmt: skip
    assert cells(by["code"]) == {"502": (50, 50, 20, 20), "200": (0, 110, 0, 1200)}
    assert {name: label.of_events for name, label in by.items()} == {"route": False, "instance": False, "code": True}
    for label in by.values():
        assert (label.canary_total, label.baseline_total) == (160, 1220)


async def test_a_pod_that_fails_everything_is_still_a_pod(store: Store) -> None:
    store.counter(7, version="2", instance="d:80", route="pay", code="502")
    found = await store.ask("instance")
    assert not found.labels[0].of_events
    assert cells(found.labels[0])["d:80"] == (70, 70, 0, 0)


async def test_the_bake_has_no_baseline(store: Store) -> None:
    found = await store.ask("route", compare=False)
    assert cells(found.labels[0]) == {"pay": (50, 80, 0, 0), "cart": (0, 80, 0, 0)}
    assert found.labels[0].baseline_total == 0


async def test_many_values_are_folded_into_a_number(store: Store) -> None:
    found = await store.ask("route", most=1)
    assert list(cells(found.labels[0])) == ["pay"]
    assert found.labels[0].folded == 1
    assert found.labels[0].canary_total == 160


async def test_envoy_tells_the_class_on_failures_alone(store: Store) -> None:
    for cluster, failed in (("shop-v1", 1), ("shop-v2", 4)):
        store.counter(50, "envoy_cluster_upstream_rq_completed", envoy_cluster_name=cluster)
        store.counter(failed, "envoy_cluster_upstream_rq_xx", envoy_cluster_name=cluster, envoy_response_code_class="5")
    found = await store.ask("envoy_response_code_class", metric=Metric(name="errors", kind="ratio", template="envoy"))
    label = found.labels[0]
    assert label.of_events
    assert cells(label)["5"] == (40, 0, 10, 0)
    assert (label.canary_total, label.baseline_total) == (500, 500)


async def test_histograms_keep_the_bounds_all_have_in_common(store: Store) -> None:
    for version, route, rates in (
        ("1", "pay", {"0.1": 8, "0.25": 9, "+Inf": 10}),
        ("2", "pay", {"0.1": 1, "0.25": 2, "0.5": 3, "+Inf": 5}),
    ):
        for bound, rate in rates.items():
            store.counter(rate, "http_request_duration_seconds_bucket", version=version, route=route, le=bound)
    found = await store.ask("route", metric=LATENCY)
    assert found.bounds == [0.1, 0.25]
    one = found.labels[0].values[0]
    assert (one.canary.buckets, one.baseline.buckets) == ([10, 10, 30], [80, 10, 10])


async def test_no_series_is_a_reason(server: FakePrometheus, prometheus_source: PrometheusSource) -> None:
    found = await Store(server, prometheus_source).ask("route")
    assert found.supported
    assert found.reason.startswith("empty: the ")
    assert found.labels == []


async def test_a_store_without_exemplars_says_so(store: Store) -> None:
    assert (await store.ask("route")).reason.startswith("no exemplars: prometheus at http://127.0.0.1")


async def test_exemplars_of_the_canary(store: Store) -> None:
    def one(trace: str, second: float, **more: object) -> dict[str, object]:
        return {"labels": {"trace_id": trace}, "value": "1", "timestamp": T0 / 1000 + second, **more}

    store.server.exemplars = [
        {
            "seriesLabels": {"__name__": "http_requests_total", "version": "2", "route": "pay"},
            "exemplars": [
                one("old", 21),
                one("newest", 29),
                one("newer", 25),
                {"labels": {}},
                {"labels": {"trace_id": 7}},
            ],
        }
    ]
    found = await store.ask("route")
    assert found.reason == ""
    assert [(one.trace_id, one.labels["route"]) for one in found.exemplars] == [("newest", "pay"), ("newer", "pay")]
    assert 'version="2"' in store.server.queries[-1]
    assert 'code=~"5.."' in store.server.queries[-1]
    assert json.loads(found.model_dump_json())["exemplars"][0]["at"].startswith("2026-03-01T12:00:29")


async def test_a_diagnosis_over_a_store_names_the_cause(store: Store, tmp_path: Path) -> None:
    request = DiagnosisRequest(
        decision="roll_back",
        reason="errors: 31 % against 1.6 %",
        at=moment(31),
        window=Window(start=moment(20), end=moment(30)),
        metrics=[RATIO],
        arms=ARMS,
        sources={"prometheus": store.source},
        ledger=Ledger(path=str(tmp_path)),
        settings=Diagnose(),
        service="shop",
        environment="test",
    )
    found = await DiagnosisActivities({"prometheus": store.adapter}).diagnose(request)
    assert found.sentence == (
        "errors: route pay carries 100 % of the excess with 50 % of the traffic; 100 % of the excess is code 502"
    )
    assert [ranking.label for ranking in found.rankings] == ["route", "code"]


# ------------------------------------------------------------------------------------------- further kinds


async def test_an_objective_is_counted_of_the_canary_alone(store: Store) -> None:
    metric = Metric(name="availability", kind="slo", template="http", slo=Slo(objective=0.99))
    found = await store.ask("route", "code", metric=metric)
    assert cells(found.labels[0]) == {"pay": (50, 80, 0, 0), "cart": (0, 80, 0, 0)}
    assert found.labels[1].of_events
    said = rank(metric, found, compare=True).sentence
    assert said.startswith("availability: route pay carries 100 % of the excess with 50 % of the traffic")


async def test_events_without_requests_are_told_by_label(store: Store) -> None:
    metric = Metric(name="kills", kind="count", events='kills_total{version="{arm.version}"}')
    for version, pod, reason, rate in (("1", "a:80", "oom", 1), ("1", "b:80", "liveness", 2), ("2", "c:80", "oom", 4)):
        store.counter(rate, "kills_total", version=version, instance=pod, reason=reason)
    found = await store.ask("reason", "instance", metric=metric)
    assert cells(found.labels[0]) == {"oom": (40, 0, 10, 0), "liveness": (0, 0, 20, 0)}
    assert all(label.of_events for label in found.labels)
    assert rank(metric, found, compare=True, share=0.1).sentence == "kills: 100 % of the excess is reason oom"
    alone = await store.ask("reason", metric=metric, compare=False)
    assert cells(alone.labels[0]) == {"oom": (40, 0, 0, 0)}


async def test_gauges_are_told_by_instance_and_by_what_they_share(store: Store) -> None:
    metric = Metric(name="memory", kind="value", values='memory_bytes{version="{arm.version}"}')
    for version, pod, region, level in (
        ("1", "a:80", "eu", 100.0), ("1", "b:80", "us", 104.0), ("2", "c:80", "eu", 101.0), ("2", "d:80", "us", 300.0),
    ):  # fmt: skip
        samples = [(T0 + second * 1000, level) for second in range(10, 33)]
        store.server.add(
            "memory_bytes", {"job": "shop", "version": version, "instance": pod, "region": region}, samples
        )
    found = await store.ask("instance", "region", "code", metric=metric)
    assert [label.label for label in found.labels] == ["instance", "region"]
    levels = {one.value: (one.canary.values, one.baseline.values) for one in found.labels[1].values}
    assert levels == {"eu": ([101.0], [100.0]), "us": ([300.0], [104.0])}
    top = rank(metric, found, compare=True).rankings[0].values[0]
    assert (top.value, top.canary_level, top.baseline_level) == ("d:80", 300.0, 102.0)
    assert (await store.ask("instance", metric=metric, compare=False)).labels[0].values[0].canary.values == [101.0]


def test_what_a_threshold_is_taken_of() -> None:
    assert inside('max(queue{a="(x)"})') == 'queue{a="(x)"}'
    assert inside(" SUM ( rate(x[5m]) / on(i) (y) ) ") == "rate(x[5m]) / on(i) (y)"
    assert inside("avg(x{a=')'})") == "x{a=')'}"
    assert inside('max(x{a="\\")"})') == 'x{a="\\")"}'
    for other in ("queue", "max(a) / max(b)", "sum by (x) (a)", "topk(3, a)", "max(a", "rate(x[5m])", "max(a))"):
        assert inside(other) is None, other


async def test_a_threshold_is_told_by_the_series_it_is_taken_of(store: Store) -> None:
    metric = Metric(
        name="queue",
        kind="threshold",
        query='max(queue{version="{arm.version}"})',
        limits=Limits.model_validate({"max": 5}),
    )
    vector = [
        {"metric": {"__name__": "queue", "instance": pod}, "value": [0, level]}
        for pod, level in (("c:80", "9"), ("d:80", "2"), ("e:80", "NaN"))
    ]

    def answer(query: str, headers: Mapping[str, str]) -> FakeAnswer:
        assert query == 'queue{version="2"}'
        body = {"status": "success", "data": {"resultType": "vector", "result": vector}}
        return FakeAnswer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    store.server.answer = answer
    found = await store.ask("instance", "region", metric=metric)
    assert rank(metric, found, compare=True).sentence == (
        "queue: instance c:80 carries 100 % of the excess with 50 % of the instances"
    )
    other = metric.model_copy(update={"query": "max(a) / max(b)"})
    found = await store.ask("instance", metric=other)
    assert not found.supported
    assert (
        found.reason == "not supported: max(a) / max(b) is no sum, max, min or avg of series that could be told apart"
    )


async def test_an_adapter_without_breakdowns_is_not_supported() -> None:
    source = Source(url="http://x")
    asked = BreakdownRequest(window=Window(start=moment(20), end=moment(30)), arms=ARMS, labels=["route"])
    found = await break_down(object(), source, RATIO, asked)
    assert not found.supported
    assert found.reason == "not supported: sources of kind prometheus cannot break a metric down"
