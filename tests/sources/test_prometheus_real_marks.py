"""A real VictoriaMetrics shows a NaN where a scrape failed and where a target went away; the counts stay exact."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from activities.sources.prometheus import PrometheusSource
from coalmine.records import ArmCounts, Window
from coalmine.testing.source_contract import Happened, collect
from tests.sources.conftest import VICTORIA_SCRAPE, Exporter, RealWorld
from tests.sources.victoria import scrape_only, victoria_metrics


async def raw(url: str, selector: str) -> dict[str, Sequence[tuple[float, str]]]:
    """Raw samples of the last five minutes, by target."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/v1/query", params={"query": f"{selector}[5m]"}) as response,
    ):
        result = (await response.json())["data"]["result"]
    return {one["metric"]["instance"]: [(at, value) for at, value in one["values"]] for one in result}


async def test_a_scrape_that_fails_in_the_window_costs_no_count(victoria_world: RealWorld) -> None:
    world = victoria_world
    await world.happen({"baseline": Happened(10, 1, (5, 4, 1)), "canary": Happened(10, 1, (5, 4, 1))})
    world.exporter.refusals = 1
    window = await world.happen({"baseline": Happened(400, 20, (300, 80, 20)), "canary": Happened(40, 2, (30, 8, 2))})
    assert world.exporter.refusals == 0
    (samples,) = (await raw(world.url, 'http_requests_total{version="1.42.0",code="200"}')).values()
    marks = [at for at, value in samples if value == "NaN" and window.start.timestamp() < at <= window.end.timestamp()]
    assert marks, "this store does not show what this test is about"
    counts = await collect(world, world.ratio, window)
    assert counts.status == "ok", counts.reason
    assert counts.baseline == ArmCounts(total=400, events=20)
    assert counts.canary == ArmCounts(total=40, events=2)
    slow = await collect(world, world.latency, window)
    assert slow.status == "ok", slow.reason
    assert slow.canary == ArmCounts(total=40, buckets=[30, 8, 2])


class Pods:
    """Two targets of one VictoriaMetrics, of which one may go away."""

    def __init__(self, url: str, folder: Path, stays: Exporter, ends: Exporter) -> None:
        self.url, self.folder, self.stays, self.ends = url, folder, stays, ends

    async def settle(self, *pods: Exporter) -> datetime:
        """A moment by which what these expose now was scraped, and that the store shows whole."""
        exposed = await self._scraped_after(pods, datetime.now(UTC))
        await self._scraped_after(pods, exposed + timedelta(seconds=2))
        return exposed

    async def end_one(self) -> None:
        """One goes away; returns when the store shows that."""
        await scrape_only(self.url, self.folder, [self.stays.target], VICTORIA_SCRAPE)
        while (await raw(self.url, "up"))[self.ends.target][-1][1] != "NaN":
            await asyncio.sleep(0.05)

    async def _scraped_after(self, pods: Sequence[Exporter], moment: datetime) -> datetime:
        while True:
            found = await raw(self.url, "up")
            newest = [max((at for at, up in found.get(pod.target, []) if up == "1"), default=0.0) for pod in pods]
            if min(newest) > moment.timestamp():
                return datetime.fromtimestamp(max(newest), UTC)
            await asyncio.sleep(0.05)


@pytest.fixture
async def pods(tmp_path: Path) -> AsyncIterator[Pods]:
    stays, ends = Exporter(), Exporter()
    try:
        async with victoria_metrics(tmp_path, [stays.target, ends.target], VICTORIA_SCRAPE) as url:
            yield Pods(url, tmp_path, stays, ends)
    finally:
        stays.stop()
        ends.stop()


async def test_a_target_that_goes_away_in_the_window_counts_to_its_end(
    pods: Pods, prometheus_source: PrometheusSource
) -> None:
    def happen(pod: Exporter, baseline: Happened, canary: Happened) -> None:
        pod.counters.add({"baseline": baseline, "canary": canary})
        pod.show()

    for pod in (pods.stays, pods.ends):
        happen(pod, Happened(10, 1), Happened(10, 1))
    start = await pods.settle(pods.stays, pods.ends)
    happen(pods.stays, Happened(200, 10), Happened(20, 1))
    happen(pods.ends, Happened(100, 6), Happened(10, 2))
    await pods.settle(pods.stays, pods.ends)
    await pods.end_one()
    happen(pods.stays, Happened(50, 5), Happened(5, 0))
    window = Window(start=start, end=await pods.settle(pods.stays))
    ended = (await raw(pods.url, 'http_requests_total{version="1.42.0",code="200"}'))[pods.ends.target]
    assert ended[-1][1] == "NaN", "this store does not show what this test is about"
    assert window.start.timestamp() < ended[-1][0] <= window.end.timestamp()
    world = RealWorld(pods.url, pods.stays, prometheus_source)
    scrape, flush = timedelta(seconds=VICTORIA_SCRAPE), timedelta(seconds=2)
    world.source = world.source.model_copy(update={"scrape": scrape, "flush": flush})
    counts = await collect(world, world.ratio, window)
    assert counts.status == "ok", counts.reason
    assert counts.baseline == ArmCounts(total=350, events=21)
    assert counts.canary == ArmCounts(total=35, events=3)
