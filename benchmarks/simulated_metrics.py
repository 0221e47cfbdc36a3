"""Counters that follow the proxies' real weights, served as Prometheus would serve them.

Each tick reads every route's weights from its first proxy and counts requests and errors accordingly, so that the
judge, the sample ratio and the windows see what real traffic of known quality would have left behind.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from dataclasses import dataclass, field

from benchmarks.ground import BASELINE, CANARY, Ground
from coalmine.testing.fake_prometheus import FakePrometheus, FakeSeries

TICK = 0.2
"""Seconds between samples; the spec's ``scrape``."""
RATE = 600.0
"""Requests per second and route, both arms."""
BASELINE_ERRORS = 0.02
_KEPT = 3_000


@dataclass
class RouteTraffic:
    """One route's traffic: how bad its canary is, and its counters."""

    canary_errors: float = BASELINE_ERRORS
    counters: dict[tuple[str, str], float] = field(default_factory=dict)
    series: dict[tuple[str, str], FakeSeries] = field(default_factory=dict)


class SimulatedMetrics:
    """``async with SimulatedMetrics(ground, seed=1) as metrics: metrics.routes["shop"].canary_errors = 0.2``."""

    def __init__(self, ground: Ground, seed: int) -> None:
        self.routes = {name: RouteTraffic() for name in ground.routes}
        self._ground = ground
        self._random = random.Random(seed)
        self._server = FakePrometheus()
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where to query."""
        return self._server.url

    @property
    def server(self) -> FakePrometheus:
        """The store itself, for tests in which it fails."""
        return self._server

    async def __aenter__(self) -> SimulatedMetrics:
        self._server.start()
        for name, traffic in self.routes.items():
            for backend in (BASELINE, CANARY):
                for family, labels in (
                    ("requests_total", {}),
                    ("errors_total", {"code": "500"}),
                ):
                    key = (backend, family)
                    traffic.counters[key] = 0.0
                    traffic.series[key] = self._server.add(family, {"route": name, "backend": backend, **labels}, [])
        await self._count()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
        self._server.stop()

    async def _run(self) -> None:
        due = time.monotonic()
        while True:
            due += TICK
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._count()

    async def _count(self) -> None:
        for name, traffic in self.routes.items():
            share = await self._ground.canary_share(self._ground.envoys[name][0]) / 100
            for backend, part, bad in (
                (BASELINE, 1 - share, BASELINE_ERRORS),
                (CANARY, share, traffic.canary_errors),
            ):
                requests = self._draw(RATE * TICK * part)
                traffic.counters[backend, "requests_total"] += requests
                traffic.counters[backend, "errors_total"] += self._share_of(requests, bad)
            now = round(time.time() * 1000)
            for key, series in traffic.series.items():
                series.samples.append((now, str(round(traffic.counters[key]))))
                del series.samples[:-_KEPT]

    def _draw(self, mean: float) -> int:
        """About Poisson: the rounded normal does for means this large."""
        return max(0, round(self._random.gauss(mean, math.sqrt(mean)))) if mean > 0 else 0

    def _share_of(self, requests: int, share: float) -> int:
        return sum(self._random.random() < share for _ in range(requests))
