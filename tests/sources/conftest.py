"""Worlds for the metric source contract: the fake, exact samples over HTTP, and a real Prometheus."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler

import aiohttp
import pytest
import pytest_asyncio

from activities.sources.base import MetricSource
from activities.sources.prometheus import PrometheusSource
from coalmine.local.prometheus import PrometheusServer, ScrapeJob
from coalmine.records import ArmCounts, Window
from coalmine.spec.canary import Arm, ArmName, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.testing.fake_prometheus import FakePrometheus
from coalmine.testing.fake_source import FakeSource
from coalmine.testing.source_contract import Happened
from coalmine.testing.threaded_server import Quiet, ThreadedServer
from tests.sources.sql_worlds import postgres
from tests.sources.victoria import victoria_metrics

ARMS = Arms(baseline=Arm(version="1.41.0", backend="shop-v41"), canary=Arm(version="1.42.0", backend="shop-v42"))
RATIO = Metric(name="errors", kind="ratio", template="http")
LATENCY = Metric(name="latency", kind="latency", template="http")
BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
VICTORIA_SCRAPE = 1.0
NAMES: tuple[ArmName, ...] = ("baseline", "canary")


class FakeWorld:
    """The contract over FakeSource."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.parts: list[tuple[Window, Mapping[ArmName, Happened]]] = []
        self.fake = FakeSource(self._script, bounds=[0.1, 0.25], clock=lambda: self.now)
        self.adapter = self.fake
        self.source = Source(url="http://fake")
        self.arms, self.ratio, self.latency = ARMS, RATIO, LATENCY

    async def happen(self, arms: Mapping[ArmName, Happened]) -> Window:
        window = Window(start=self.now, end=self.now + timedelta(seconds=10))
        self.now = window.end
        self.parts.append((window, arms))
        return window

    async def go_down(self) -> None:
        self.fake.fail(self.now, self.now + timedelta(hours=1))

    def _script(self, arm: ArmName, metric: Metric, window: Window) -> ArmCounts | str:
        if self.fake.requests[-1].arms != ARMS and arm == "canary":
            return "empty"
        inside = [arms[arm] for part, arms in self.parts if window.start < part.end <= window.end]
        if metric.kind == "ratio":
            return ArmCounts(total=sum(h.total for h in inside), events=sum(h.events for h in inside))
        buckets = [sum(h.buckets[index] for h in inside) for index in range(3)]
        return ArmCounts(total=sum(buckets), buckets=buckets)


class Counters:
    """What a service in two versions would expose, in the names of the template ``http``."""

    def __init__(self) -> None:
        self.total = dict.fromkeys(NAMES, 0)
        self.events = dict.fromkeys(NAMES, 0)
        self.buckets = {name: [0, 0, 0] for name in NAMES}

    def add(self, arms: Mapping[ArmName, Happened]) -> None:
        for name, happened in arms.items():
            self.total[name] += happened.total
            self.events[name] += happened.events
            self.buckets[name] = [a + b for a, b in zip(self.buckets[name], happened.buckets, strict=True)]

    def series(self) -> Iterator[tuple[str, dict[str, str], int]]:
        for name in NAMES:
            version = getattr(ARMS, name).version
            yield "http_requests_total", {"version": version, "code": "200"}, self.total[name] - self.events[name]
            # As client libraries do: a status is only exposed from its first request on.
            if self.events[name]:
                yield "http_requests_total", {"version": version, "code": "503"}, self.events[name]
            cumulative = 0
            for bound, count in zip(("0.1", "0.25", "+Inf"), self.buckets[name], strict=True):
                cumulative += count
                yield "http_request_duration_seconds_bucket", {"version": version, "le": bound}, cumulative
            yield "http_request_duration_seconds_count", {"version": version}, cumulative


class SampleWorld:
    """The contract over PrometheusSource and exact samples, scraped every second of an invented time."""

    def __init__(self, server: FakePrometheus, adapter: PrometheusSource) -> None:
        self.server = server
        self.now = BEGIN
        self.counters = Counters()
        self.adapter = adapter
        self.source = Source(url=server.url, scrape=timedelta(seconds=1), flush=timedelta(0))
        self.arms, self.ratio, self.latency = ARMS, RATIO, LATENCY
        self._scrape(5)

    async def happen(self, arms: Mapping[ArmName, Happened]) -> Window:
        start = self.now
        self.counters.add(arms)
        self._scrape(10)
        return Window(start=start, end=self.now)

    async def go_down(self) -> None:
        self.server.stop()

    def _scrape(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            at = round(self.now.timestamp() * 1000)
            up = [("up", dict[str, str](), 1)]
            for name, labels, value in [*up, *self.counters.series()]:
                full = {"job": "shop", "instance": "10.0.0.1:80", **labels}
                known = [s for s in self.server.series if s.labels == {"__name__": name, **full}]
                if known:
                    known[0].samples.append((at, str(value)))
                else:
                    self.server.add(name, full, [(at, value)])


class Exporter(ThreadedServer):
    """An HTTP server that exposes ``text``."""

    def __init__(self) -> None:
        self.text = ""
        self.counters = Counters()
        self.refusals = 0
        """Scrapes that are answered with an error before it answers again."""
        self.settled: datetime | None = None
        """The moment up to which the store is known to hold all that was exposed; None while that is not known."""
        exporter = self

        class Handler(Quiet, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                refused = exporter.refusals > 0
                exporter.refusals -= refused
                # Series in an error's text would be none that went away to VictoriaMetrics.
                body = b"" if refused else exporter.text.encode()
                self.send_response(500 if refused else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(Handler)
        self.start()
        self.target = self.url.removeprefix("http://")

    def show(self) -> None:
        lines = [
            name + "{" + ",".join(f'{label}="{text}"' for label, text in labels.items()) + f"}} {value}"
            for name, labels, value in self.counters.series()
        ]
        self.text = "\n".join(lines) + "\n"


class RealWorld:
    """The contract over PrometheusSource and a real Prometheus that scrapes a real exporter."""

    scrape = 0.2

    def __init__(self, url: str, exporter: Exporter, adapter: PrometheusSource) -> None:
        self.url = url
        self.exporter = exporter
        self.counters = exporter.counters
        self.adapter: MetricSource = adapter
        self.source = Source(url=url, scrape=timedelta(seconds=self.scrape), flush=timedelta(0))
        self.arms, self.ratio, self.latency = ARMS, RATIO, LATENCY
        self.flush = timedelta(0)
        self.show_all = ""
        """Path at which the store is told to show all that it has taken in, where it keeps some back."""

    async def happen(self, arms: Mapping[ArmName, Happened]) -> Window:
        # Where the world before this one has left the store, nothing has happened since.
        start, self.exporter.settled = self.exporter.settled, None
        if start is None:
            self.exporter.show()
            start = await self._settle()
        self.counters.add(arms)
        self.exporter.show()
        self.exporter.settled = end = await self._settle()
        return Window(start=start, end=end)

    async def go_down(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        self.source = self.source.model_copy(update={"url": f"http://127.0.0.1:{port}"})

    async def _settle(self) -> datetime:
        """A moment by which what is exposed now has been scraped, and that is itself covered by a later scrape."""
        exposed = await self._scraped_after(datetime.now(UTC))
        await self._scraped_after(exposed + self.flush)
        if self.show_all:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}{self.show_all}") as response:
                response.raise_for_status()
        return exposed

    async def _scraped_after(self, moment: datetime) -> datetime:
        async with aiohttp.ClientSession() as session:
            while True:
                # A scrape that failed, as on a busy machine, has taken nothing in.
                params = {"query": "timestamp(up) and up == 1"}
                async with session.get(f"{self.url}/api/v1/query", params=params) as response:
                    result = (await response.json())["data"]["result"]
                if result and float(result[0]["value"][1]) > moment.timestamp():
                    return datetime.fromtimestamp(float(result[0]["value"][1]), UTC)
                await asyncio.sleep(0.05)


@pytest.fixture
def prometheus_source() -> Iterator[PrometheusSource]:
    source = PrometheusSource()
    yield source
    source.close()


@pytest.fixture
def server() -> Iterator[FakePrometheus]:
    server = FakePrometheus()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def fake_world() -> FakeWorld:
    return FakeWorld()


@pytest.fixture
def sample_world(server: FakePrometheus, prometheus_source: PrometheusSource) -> SampleWorld:
    return SampleWorld(server, prometheus_source)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scraped(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, Exporter]]:
    """A real Prometheus and what it scrapes; shared, because its first scrape comes 5 s after its start."""
    exporter = Exporter()
    jobs = [ScrapeJob("shop", [exporter.target])]
    try:
        async with PrometheusServer(tmp_path_factory.mktemp("prometheus"), jobs, scrape=RealWorld.scrape) as running:
            yield running.url, exporter
    finally:
        exporter.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scraped_by_victoria(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, Exporter]]:
    """A real VictoriaMetrics and what it scrapes."""
    exporter = Exporter()
    try:
        folder = tmp_path_factory.mktemp("victoria")
        # A scrape may take as long as they are apart. One that takes longer, as on a busy machine, is missed.
        async with victoria_metrics(folder, [exporter.target], VICTORIA_SCRAPE) as url:
            yield url, exporter
    finally:
        exporter.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A real PostgreSQL, whose owner this is."""
    async with postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture
def victoria_world(scraped_by_victoria: tuple[str, Exporter], prometheus_source: PrometheusSource) -> RealWorld:
    world = RealWorld(*scraped_by_victoria, prometheus_source)
    # What it has taken in is shown a second later, one series after the other; later still on a busy machine.
    world.flush, world.show_all = timedelta(seconds=2), "/internal/force_flush"
    scrape = timedelta(seconds=VICTORIA_SCRAPE)
    world.source = world.source.model_copy(update={"flush": world.flush, "scrape": scrape})
    return world


@pytest.fixture
def real_world(scraped: tuple[str, Exporter], prometheus_source: PrometheusSource) -> RealWorld:
    return RealWorld(*scraped, prometheus_source)
