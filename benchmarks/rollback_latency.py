"""From the rollback signal until 0 % is confirmed on three Envoys, with a look in flight.

Each try is a rollout of its own: shift 10 %, wait until its look asks the metric store (which never answers), send the
signal, and read the three proxies' admin interfaces until all show the canary at 0 %. Tries in which the signal comes
during a shift are reported apart.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks import report
from benchmarks.ground import BASELINE, CANARY, Ground
from coalmine.records import TASK_QUEUE, TASK_TIMEOUT, CanaryInput, RolloutReport, Submission, canary_id
from coalmine.spec.canary import CanarySpec


class SilentStore:
    """A metric store that takes questions and does not answer them."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Serve on a free port."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._hang)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _hang(self, request: web.Request) -> web.Response:
        self.asked.set()
        await asyncio.sleep(8)
        return web.Response(status=503)


def submission(ground: Ground, route: str, store: str, version: str) -> Submission:
    """A rollout that stays at 10 % and looks every second."""
    spec: dict[str, Any] = {
        "service": route,
        "environment": "bench",
        "arms": {
            "baseline": {"version": "1.0.0", "backend": BASELINE},
            "canary": {"version": version, "backend": CANARY},
        },
        "route": ground.route(route),
        "steps": [{"weight": 10, "for": "10m"}],
        "metrics": [
            {"name": "errors", "kind": "ratio", "template": "envoy", "source": "prometheus", "max": 0.1},
            {"name": "latency", "kind": "latency", "template": "envoy", "source": "prometheus"},
        ],
        "policy": {"look": "1s"},
        "sources": {"prometheus": {"url": store, "scrape": "200ms", "flush": "0s"}},
        "notify": [],
        # The store that answers nothing answers no diagnosis either.
        "diagnose": {"timeout": "1s"},
        "ledger": {"path": str(ground.folder / "ledger")},
    }
    return Submission(spec=CanarySpec.model_validate(spec), by="bench")


async def one_try(ground: Ground, route: str, store: SilentStore, number: int, *, during_shift: bool) -> float:
    """Seconds from the signal until the last proxy shows 0 %."""
    store.asked.clear()
    sent = submission(ground, route, store.url, f"2.0.{number}")
    handle = await ground.client.start_workflow(
        "Canary",
        CanaryInput(service=route, environment="bench", submission=sent),
        id=canary_id("bench", route),
        task_queue=TASK_QUEUE,
        task_timeout=TASK_TIMEOUT,
        result_type=RolloutReport,
    )
    first = ground.envoys[route][0]
    if during_shift:
        while await ground.canary_share(first) == 0:
            await asyncio.sleep(0)
    else:
        await store.asked.wait()
    began = time.perf_counter()
    await handle.signal("rollback", {"by": "bench"})
    await ground.until_restored(route)
    took = time.perf_counter() - began
    result = await handle.result()
    if result.outcome != "rolled_back":
        raise RuntimeError(f"try {number} ended {result.outcome}: {result.reason}")
    return took


async def measure(tries: int, during: int, progress: Callable[[str], Awaitable[None]]) -> dict[str, Any]:
    """All tries, one after the other."""
    store = SilentStore()
    await store.start()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with Ground(Path(folder), proxies=3) as ground:
            worker = await ground.worker()
            for name, count, shifting in (("look_in_flight", tries, False), ("during_shift", during, True)):
                took: list[float] = []
                for number in range(count):
                    version = number + (100_000 if shifting else 0)
                    took.append(await one_try(ground, "shop", store, version, during_shift=shifting))
                    if number % 25 == 24:
                        await progress(f"{name}: {number + 1} of {count}")
                figures[name] = {
                    "tries": count,
                    **{f"p{share:g}_ms": round(1000 * report.quantile(took, share / 100), 1) for share in (50, 95, 99)},
                    "max_ms": round(1000 * max(took), 1),
                }
            await worker.stop()
    await store.stop()
    return figures


async def _say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=300)
    parser.add_argument("--during-shift", type=int, default=60)
    asked = parser.parse_args()
    figures = asyncio.run(measure(asked.tries, asked.during_shift, _say))
    print(figures)
    print(report.write("rollback_latency", figures))


if __name__ == "__main__":
    main()
