"""A real HTTP server of orders: what each version counted, by window, as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from aiohttp import web

from activities.sources.base import MetricSource
from activities.sources.http_json import HttpSource
from coalmine.records import Window
from coalmine.spec.canary import Arm, ArmName, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.testing.source_contract import Happened

WINDOW = "from={start}&to={end}"
COUNTS = f"/v1/orders/{{arm.version}}?{WINDOW}"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpWorld:
    """The contract over two questions of one service."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.answer: Answer | None = None
        """What answers instead of the counts."""
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
        self.adapter: MetricSource = HttpSource()
        self.source = Source(kind="http", timeout=timedelta(seconds=20))
        # A version that would end its part of the path, and its parameter, if it were written as it is.
        self.arms = Arms(
            baseline=Arm(version="1.41.0", backend="v41"), canary=Arm(version="1.42.0+b?x=1&from=%20", backend="v42")
        )
        self.ratio = Metric(
            name="errors", kind="ratio", source="orders", total=f"{COUNTS} -> total", events=f"{COUNTS} -> by.failed"
        )
        self.latency = Metric(
            name="latency",
            kind="latency",
            source="orders",
            buckets="/v1/orders/{arm.version}?from={start.unix}&to={end.unix} -> buckets[*].[le, n]",
        )
        self._parts: list[tuple[datetime, Mapping[ArmName, Happened]]] = []
        self._runner: web.AppRunner | None = None

    async def begin(self) -> None:
        """Serve on a free port."""
        app = web.Application()
        app.router.add_get("/v1/orders/{version}", self._serve)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.source = self.source.model_copy(update={"url": f"http://127.0.0.1:{port}"})

    async def happen(self, arms: Mapping[ArmName, Happened]) -> Window:
        start, self.now = self.now, self.now + timedelta(seconds=10)
        self._parts.append((self.now, arms))
        return Window(start=start, end=self.now)

    async def go_down(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.answer is not None:
            return await self.answer(request)
        version = request.match_info["version"]
        names: tuple[ArmName, ...] = ("baseline", "canary")
        name = next((name for name in names if getattr(self.arms, name).version == version), None)
        if name is None:
            raise web.HTTPNotFound(text="no such version")
        start, end = (_moment(request.query[key]) for key in ("from", "to"))
        inside = [arms[name] for at, arms in self._parts if start < at <= end and name in arms]
        sums = [sum(happened.buckets[place] for happened in inside) for place in range(3)]
        return web.json_response({
            "total": sum(happened.total for happened in inside),
            "by": {"failed": sum(happened.events for happened in inside)},
            "buckets": [{"le": le, "n": n} for le, n in zip((0.1, 0.25, None), sums, strict=True)],
        })  # fmt: skip


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text) if "T" in text else datetime.fromtimestamp(float(text), UTC)


@asynccontextmanager
async def orders() -> AsyncIterator[HttpWorld]:
    """The service, while the test runs."""
    world = HttpWorld()
    await world.begin()
    try:
        yield world
    finally:
        await world.go_down()


async def in_pieces(request: web.Request, pieces: list[bytes]) -> web.StreamResponse:
    """An answer of which each piece is on its way before the next is written."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
        await asyncio.sleep(0)
    await response.write_eof()
    return response
