"""The templates of HAProxy and Traefik against the real programs: names and labels are theirs, counts are exact."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from activities.sources.prometheus import PrometheusSource
from coalmine.local.haproxy import HAProxy
from coalmine.local.prometheus import PrometheusServer, ScrapeJob
from coalmine.local.traefik import Traefik
from coalmine.records import ArmCounts, CollectRequest, MetricCounts, Window
from coalmine.spec.canary import Arm, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source

ARMS = Arms(baseline=Arm(version="1", backend="stable"), canary=Arm(version="2", backend="canary"))
ERRORS = Metric(name="errors", kind="ratio", template="haproxy")
SCRAPE = timedelta(seconds=0.5)
QUEUERS = 4


@dataclass
class Scraped:
    """A proxy that takes requests for each arm at an address of its own, and what Prometheus keeps of it."""

    urls: Mapping[str, str]
    source: Source
    adapter: PrometheusSource
    session: aiohttp.ClientSession

    async def count(self, metric: Metric, window: Window) -> MetricCounts:
        request = CollectRequest(window=window, metrics=[metric], arms=ARMS, sources={"prometheus": self.source})
        return await self.adapter.collect(self.source, metric, request)

    async def send(self, arm: str, status: int, times: int) -> None:
        for _ in range(times):
            async with self.session.get(f"{self.urls[arm]}?status={status}") as response:
                assert response.status == status

    async def settled(self) -> datetime:
        """The moment of a scrape that has all that was answered before, however late Prometheus is.

        The second from now: a proxy counts a request just after it was answered.
        """
        moment = datetime.now(UTC)
        for _ in range(2):
            moment = await self._scraped_after(moment)
        return moment + timedelta(milliseconds=1)

    async def _scraped_after(self, moment: datetime) -> datetime:
        async with asyncio.timeout(30):
            while True:
                question = {"query": "timestamp(up)"}
                async with self.session.get(f"{self.source.url}/api/v1/query", params=question) as response:
                    found = (await response.json())["data"]["result"]
                if found and (scrape := datetime.fromtimestamp(float(found[0]["value"][1]), UTC)) > moment:
                    return scrape
                await asyncio.sleep(0.05)


@asynccontextmanager
async def scraped(
    folder: Path, target: str, urls: Mapping[str, str], adapter: PrometheusSource
) -> AsyncIterator[Scraped]:
    job = ScrapeJob("edge", [target])
    async with (
        PrometheusServer(folder / "prometheus", [job], scrape=SCRAPE.total_seconds()) as server,
        aiohttp.ClientSession() as session,
    ):
        source = Source(url=server.url, scrape=SCRAPE, flush=timedelta(0))
        yield Scraped(urls, source, adapter, session)


@pytest.fixture
async def service() -> AsyncIterator[str]:
    """``host:port`` of a service that answers with the status it is asked for, slowly when it is asked to."""

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("wait", "0")))
        return web.Response(status=int(request.query.get("status", "200")))

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture
async def behind_haproxy(tmp_path: Path, service: str, prometheus_source: PrometheusSource) -> AsyncIterator[Scraped]:
    """The canary's server takes one request at a time; the others wait in its queue."""
    maps = {arm: tmp_path / f"{arm}.map" for arm in ("stable", "canary")}
    for arm, file in maps.items():
        file.write_text(f"0:9999 {arm}\n")
    backends = {"stable": [service], "canary": [f"{service} maxconn 1"]}
    async with HAProxy(tmp_path / "haproxy", maps, backends, metrics=True) as proxy:
        urls = {arm: proxy.url(arm) for arm in maps}
        async with scraped(tmp_path, proxy.exporter, urls, prometheus_source) as found:
            yield found


@pytest.fixture
async def behind_traefik(tmp_path: Path, service: str, prometheus_source: PrometheusSource) -> AsyncIterator[Scraped]:
    dynamic = tmp_path / "dynamic"
    dynamic.mkdir()
    arms = ("stable", "canary")
    servers = {"loadBalancer": {"servers": [{"url": f"http://{service}"}]}}
    strip = {"stripPrefix": {"prefixes": [f"/{arm}" for arm in arms], "forceSlash": True}}
    routers = {arm: {"rule": f"PathPrefix(`/{arm}`)", "service": arm, "middlewares": ["strip"]} for arm in arms}
    content = {"routers": routers, "services": dict.fromkeys(arms, servers), "middlewares": {"strip": strip}}
    # JSON is YAML.
    (dynamic / "shop.yml").write_text(json.dumps({"http": content}))
    async with Traefik(tmp_path / "traefik", dynamic) as proxy:
        urls = {arm: f"{proxy.url}/{arm}" for arm in arms}
        target = proxy.api.removeprefix("http://")
        async with scraped(tmp_path, target, urls, prometheus_source) as found:
            async with asyncio.timeout(30):
                while not all([await _answers(found.session, url) for url in urls.values()]):
                    await asyncio.sleep(0.05)
            yield found


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(url) as response:
        return response.status == 200


async def busy(edge: Scraped) -> Window:
    """A time with ten requests of the canary, three of which fail, and twenty of the baseline."""
    for arm in ("stable", "canary"):
        # A series is counted from its first sample on, and Traefik shows none before its first request.
        await edge.send(arm, 200, 1)
        await edge.send(arm, 503, 1)
    start = await edge.settled()
    await edge.send("stable", 200, 19)
    await edge.send("stable", 500, 1)
    await edge.send("canary", 200, 6)
    await edge.send("canary", 404, 1)
    await edge.send("canary", 503, 3)
    return Window(start=start, end=await edge.settled())


async def test_the_template_haproxy_counts_what_went_through_a_real_haproxy(behind_haproxy: Scraped) -> None:
    found = await behind_haproxy.count(ERRORS, await busy(behind_haproxy))
    assert (found.baseline, found.canary) == (ArmCounts(total=20, events=1), ArmCounts(total=10, events=3)), found


async def test_the_template_traefik_counts_what_went_through_a_real_traefik(behind_traefik: Scraped) -> None:
    window = await busy(behind_traefik)
    found = await behind_traefik.count(Metric(name="errors", kind="ratio", template="traefik"), window)
    assert (found.baseline, found.canary) == (ArmCounts(total=20, events=1), ArmCounts(total=10, events=3)), found
    slow = await behind_traefik.count(Metric(name="latency", kind="latency", template="traefik"), window)
    assert slow.baseline is not None, slow.reason
    assert slow.canary is not None, slow.reason
    assert slow.bounds == [0.1, 0.3, 1.2, 5.0]
    assert (slow.baseline.total, slow.canary.total) == (20, 10)


async def test_the_template_haproxy_shows_how_many_wait_at_a_real_haproxy(behind_haproxy: Scraped) -> None:
    async def come_again(arm: str) -> None:
        while True:
            async with behind_haproxy.session.get(f"{behind_haproxy.urls[arm]}?wait=0.1") as response:
                await response.read()

    metric = Metric(name="saturation", kind="value", template="haproxy")
    coming = [asyncio.create_task(come_again(arm)) for arm in behind_haproxy.urls for _ in range(QUEUERS)]
    try:
        async with asyncio.timeout(30):
            while True:
                end = await behind_haproxy.settled()
                found = await behind_haproxy.count(metric, Window(start=end - 5 * SCRAPE, end=end))
                if found.canary and found.canary.values and found.canary.values[0] > QUEUERS / 2:
                    break
    finally:
        for one in coming:
            one.cancel()
        await asyncio.gather(*coming, return_exceptions=True)
    # As many come to either; of the canary's all but the one that is served wait.
    assert found.baseline is not None
    assert found.baseline.values == [0.0]
    assert len(found.canary.values) == 1
    assert found.canary.values[0] <= QUEUERS - 1
