"""Breakdowns and exemplars of a real Prometheus, which scrapes an endpoint that speaks OpenMetrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from activities.diagnosis import DiagnosisActivities
from activities.sources.base import break_down
from activities.sources.prometheus import PrometheusSource
from coalmine.diagnosis import rank
from coalmine.errors import QueryRejected
from coalmine.local.prometheus import PrometheusServer, ScrapeJob
from coalmine.records import BreakdownRequest, CollectRequest, DiagnosisRequest, MetricBreakdown, Window
from coalmine.spec.canary import Arm, Arms, Diagnose
from coalmine.spec.ledger import Ledger
from coalmine.spec.metrics import Limits, Metric, Slo
from coalmine.spec.sources import Source

ARMS = Arms(baseline=Arm(version="1", backend="shop-v1"), canary=Arm(version="2", backend="shop-v2"))
SCRAPE = 0.2
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
ERRORS = Metric(name="errors", kind="ratio", template="http")
LATENCY = Metric(name="latency", kind="latency", template="http")
KILLS = Metric(name="kills", kind="count", events='kills_total{version="{arm.version}"}')
MEMORY = Metric(name="memory", kind="value", values='memory_bytes{version="{arm.version}"}')
AVAILABILITY = Metric(name="availability", kind="slo", template="http", slo=Slo(objective=0.99))
QUEUE = Metric(
    name="queue",
    kind="threshold",
    query='max(queue{version="{arm.version}"})',
    limits=Limits.model_validate({"max": 5}),
)


def exposed(happened: int) -> str:
    """What the service exposes once so many rounds of requests happened; the canary fails at /pay, with traces."""
    lines = ["# TYPE http_requests counter"]
    trace = f' # {{trace_id="4bf92f35{happened:04d}"}} 1'
    for version, route, code, count in (
        ("1", "/pay", "200", 400), ("1", "/pay", "502", 2), ("1", "/cart", "200", 500), ("1", "/cart", "502", 3),
        ("2", "/pay", "200", 20), ("2", "/pay", "502", 30), ("2", "/cart", "200", 60), ("2", "/cart", "502", 0),
    ):  # fmt: skip
        # An exemplar of what went well is none of an error.
        told = trace if (version, route) == ("2", "/pay") else ""
        labels = f'version="{version}",route="{route}",code="{code}"'
        lines.append(f"http_requests_total{{{labels}}} {count * happened}{told}")
    lines.append("# TYPE http_request_duration_seconds histogram")
    for version, slow in (("1", 1), ("2", 9)):
        for bound, count in (("0.1", 80), ("1.0", 90), ("+Inf", 90 + slow)):
            told = f' # {{trace_id="slow{happened:04d}"}} 3.5' if (version, bound) == ("2", "+Inf") else ""
            labels = f'version="{version}",route="/pay",le="{bound}"'
            lines.append(f"http_request_duration_seconds_bucket{{{labels}}} {count * happened}{told}")
        lines.append(
            f'http_request_duration_seconds_count{{version="{version}",route="/pay"}} {(90 + slow) * happened}'
        )
        lines.append(f'http_request_duration_seconds_sum{{version="{version}",route="/pay"}} {9.5 * happened}')
    lines.append("# TYPE kills counter")
    for version, reason, count in (("1", "oom", 9), ("1", "liveness", 9), ("2", "oom", 21), ("2", "liveness", 1)):
        lines.append(f'kills_total{{version="{version}",reason="{reason}"}} {count * happened}')
    for name, levels in (("memory_bytes", (100, 101, 102, 103, 250)), ("queue", (0, 0, 0, 2, 9))):
        lines.append(f"# TYPE {name} gauge")
        for pod, level in enumerate(levels):
            lines.append(f'{name}{{version="{1 if pod < 3 else 2}",pod="pod-{pod}"}} {level}')
    return "\n".join([*lines, "# EOF", ""])


class Shop:
    """The service, the Prometheus that scrapes it, and the window in which a round of requests happened."""

    def __init__(self, server: PrometheusServer, adapter: PrometheusSource, window: Window) -> None:
        self.adapter, self.window = adapter, window
        self.source = Source(url=server.url, scrape=timedelta(seconds=SCRAPE), flush=timedelta(0))

    async def ask(self, metric: Metric, *labels: str) -> MetricBreakdown:
        asked = BreakdownRequest(window=self.window, arms=ARMS, labels=list(labels))
        return await break_down(self.adapter, self.source, metric, asked)

    def collecting(self, metric: Metric) -> CollectRequest:
        return CollectRequest(window=self.window, metrics=[metric], arms=ARMS, sources={"prometheus": self.source})


async def scraped_after(url: str, moment: datetime) -> datetime:
    """When the first scrape after this moment was."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/api/v1/query", params={"query": "timestamp(up)"}) as response:
                result = (await response.json())["data"]["result"]
            if result and float(result[0]["value"][1]) > moment.timestamp():
                return datetime.fromtimestamp(float(result[0]["value"][1]), UTC)
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    happened = 1

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=exposed(happened).encode(), headers={"Content-Type": OPEN_METRICS})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    job = ScrapeJob("shop", [f"127.0.0.1:{runner.addresses[0][1]}"])
    adapter = PrometheusSource()
    folder = tmp_path_factory.mktemp("prometheus")
    try:
        async with PrometheusServer(folder, [job], scrape=SCRAPE, features=["exemplar-storage"]) as server:
            start = await scraped_after(server.url, datetime.now(UTC))
            happened = 2
            end = await scraped_after(server.url, datetime.now(UTC))
            await scraped_after(server.url, end)
            yield Shop(server, adapter, Window(start=start, end=end))
    finally:
        adapter.close()
        await runner.cleanup()


def cells(found: MetricBreakdown) -> Mapping[str, tuple[int | None, int, int | None, int]]:
    return {
        one.value: (one.canary.events, one.canary.total, one.baseline.events, one.baseline.total)
        for one in found.labels[0].values
    }


@pytest.mark.asyncio(loop_scope="module")
async def test_exemplars_of_the_canarys_errors(shop: Shop) -> None:
    found = await shop.ask(ERRORS, "route", "code")
    assert cells(found) == {"/pay": (30, 50, 2, 402), "/cart": (0, 60, 3, 503)}
    assert found.reason == ""
    assert {one.trace_id for one in found.exemplars} <= {"4bf92f350001", "4bf92f350002"}
    newest = found.exemplars[0]
    assert newest.trace_id == "4bf92f350002"
    assert (newest.labels["route"], newest.labels["code"]) == ("/pay", "502"), "those of the errors alone"
    assert newest.value == 1.0
    assert shop.window.start - timedelta(seconds=SCRAPE) <= newest.at <= shop.window.end


@pytest.mark.asyncio(loop_scope="module")
async def test_exemplars_of_the_slowest_requests(shop: Shop) -> None:
    found = await shop.ask(LATENCY, "route")
    assert found.bounds == [0.1, 1.0]
    assert found.labels[0].values[0].canary.buckets == [80, 10, 9]
    assert found.exemplars[0].trace_id == "slow0002"
    assert found.exemplars[0].value == 3.5


@pytest.mark.asyncio(loop_scope="module")
async def test_the_diagnosis_links_the_traces_of_a_real_store(shop: Shop, tmp_path: Path) -> None:
    request = DiagnosisRequest(
        decision="roll_back",
        reason="errors: 27 % against 0.6 %",
        at=shop.window.end,
        window=shop.window,
        metrics=[ERRORS],
        arms=ARMS,
        sources={"prometheus": shop.source},
        ledger=Ledger(path=str(tmp_path)),
        settings=Diagnose(links={"traces": "https://traces.example/trace/{trace_id}"}),
        service="shop",
        environment="test",
    )
    found = await DiagnosisActivities({"prometheus": shop.adapter}).diagnose(request)
    assert found.sentence.startswith("errors: route /pay carries 100 % of the excess with 45 % of the traffic")
    assert found.exemplars[0].link == "https://traces.example/trace/4bf92f350002"
    assert found.notes == []


@pytest.mark.asyncio(loop_scope="module")
async def test_events_without_requests(shop: Shop) -> None:
    found = await shop.ask(KILLS, "reason")
    assert cells(found) == {"oom": (21, 0, 9, 0), "liveness": (1, 0, 9, 0)}
    assert rank(KILLS, found, compare=True, share=0.1).sentence == "kills: 100 % of the excess is reason oom"
    assert found.reason.startswith("no exemplars: the store holds none of the canary")


@pytest.mark.asyncio(loop_scope="module")
async def test_an_objective_of_the_canary_alone(shop: Shop) -> None:
    found = await shop.ask(AVAILABILITY, "route")
    assert cells(found) == {"/pay": (30, 50, 0, 0), "/cart": (0, 60, 0, 0)}
    assert "route /pay carries 100 % of the excess" in rank(AVAILABILITY, found, compare=True).sentence
    assert found.exemplars[0].trace_id == "4bf92f350002"


@pytest.mark.asyncio(loop_scope="module")
async def test_gauges_by_instance(shop: Shop) -> None:
    found = await shop.ask(MEMORY, "pod")
    assert (found.reason, found.exemplars) == ("", [])
    assert rank(MEMORY, found, compare=True).sentence == (
        "memory: pod pod-4 carries 99 % of the excess with 50 % of the instances"
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_a_threshold_by_the_series_of_its_query(shop: Shop) -> None:
    found = await shop.ask(QUEUE, "pod", "region")
    assert [label.label for label in found.labels] == ["pod"]
    assert rank(QUEUE, found, compare=True).sentence == (
        "queue: pod pod-4 carries 100 % of the excess with 50 % of the instances"
    )
    number = QUEUE.model_copy(update={"query": "max(scalar(sum(queue)))"})
    with pytest.raises(QueryRejected, match="expected type instant vector"):
        await shop.adapter.collect(shop.source, number, shop.collecting(number))
    unlike = QUEUE.model_copy(update={"query": "sum(queue) / 2"})
    assert not (await shop.ask(unlike, "pod")).supported
