"""From the rollback signal until 0 % is confirmed on three Envoys, with a look in flight.

Each try is a rollout of its own: shift 10 %, wait until its look asks the metric store (which never answers), send the
signal, and read the three proxies' admin interfaces until all show the canary at 0 %. Tries in which the signal comes
during a shift are reported apart, and so are those beside hooks of other rollouts that take the call and never answer.
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
from temporalio.client import WorkflowHandle

from benchmarks import report
from benchmarks.ending import run
from benchmarks.ground import BASELINE, CANARY, Ground
from coalmine.records import TASK_QUEUE, TASK_TIMEOUT, CanaryInput, RolloutReport, Submission, canary_id
from coalmine.spec.canary import CanarySpec

TRY_WITHIN = 120.0
"""Seconds one try may take in all; it takes a few."""


class SilentServer:
    """A metric store, or whoever a hook calls, that takes questions and does not answer them."""

    def __init__(self, seconds: float = 8) -> None:
        self.asked = asyncio.Event()
        self.open = 0
        """Questions that wait for an answer now."""
        self._seconds = seconds
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
        self.open += 1
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self.open -= 1
        return web.Response(status=503)


class HungHooks:
    """``async with HungHooks(ground, store, 500)``: as many rollouts wait for a ``prepare`` hook that hangs."""

    def __init__(self, ground: Ground, store: SilentServer, count: int) -> None:
        self._ground, self._store, self._count = ground, store, count
        self._server = SilentServer(3600)
        self._handles: list[WorkflowHandle[Any, Any]] = []

    async def __aenter__(self) -> None:
        await self._server.start()
        for number in range(self._count):
            sent = submission(self._ground, "other", self._store.url, "2.0.0")
            hooks = sent.spec.hooks.model_copy(update={"prepare": self._server.url})
            spec = sent.spec.model_copy(update={"service": f"hung{number}", "hooks": hooks})
            self._handles.append(await start(self._ground, sent.model_copy(update={"spec": spec})))
        while self._server.open < self._count:
            await asyncio.sleep(0.1)

    async def __aexit__(self, *_: object) -> None:
        for handle in self._handles:
            await handle.terminate()
        await self._server.stop()


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


async def start(ground: Ground, sent: Submission) -> WorkflowHandle[Any, RolloutReport]:
    """Start a rollout."""
    service = sent.spec.service
    return await ground.client.start_workflow(
        "Canary",
        CanaryInput(service=service, environment="bench", submission=sent),
        id=canary_id("bench", service),
        task_queue=TASK_QUEUE,
        task_timeout=TASK_TIMEOUT,
        result_type=RolloutReport,
    )


async def one_try(ground: Ground, route: str, store: SilentServer, number: int, *, during_shift: bool) -> float:
    """Seconds from the signal until the last proxy shows 0 %."""
    store.asked.clear()
    sent = submission(ground, route, store.url, f"2.0.{number}")
    handle = await start(ground, sent)
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


async def measure(tries: int, during: int, hung: int, progress: Callable[[str], Awaitable[None]]) -> dict[str, Any]:
    """All tries, one after the other."""
    store = SilentServer()
    await store.start()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with Ground(Path(folder), proxies=3, routes=("shop", "other")) as ground:
            worker = await ground.worker()

            async def several(name: str, count: int, first: int, *, during_shift: bool = False) -> None:
                took: list[float] = []
                for number in range(count):
                    try:
                        async with asyncio.timeout(TRY_WITHIN):
                            took.append(await one_try(ground, "shop", store, first + number, during_shift=during_shift))
                    except TimeoutError:
                        late = f"was not back at 0 % and over within {TRY_WITHIN:g} s"
                        raise RuntimeError(f"{name}: try {number + 1} of {count} {late}") from None
                    if number % 25 == 24:
                        await progress(f"{name}: {number + 1} of {count}")
                figures[name] = {
                    "tries": count,
                    **{f"p{share:g}_ms": round(1000 * report.quantile(took, share / 100), 1) for share in (50, 95, 99)},
                    "max_ms": round(1000 * max(took), 1),
                }

            await several("look_in_flight", tries, 0)
            await several("during_shift", during, 100_000, during_shift=True)
            async with HungHooks(ground, store, hung):
                await progress(f"{hung} hooks hang")
                await several("beside_hung_hooks", tries, 200_000)
            figures["beside_hung_hooks"]["hooks"] = hung
            ratio = figures["beside_hung_hooks"]["p95_ms"] / figures["look_in_flight"]["p95_ms"]
            figures["beside_hung_hooks"]["p95_to_idle"] = round(ratio, 2)
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
    parser.add_argument("--hung-hooks", type=int, default=500)
    asked = parser.parse_args()
    figures = run(measure(asked.tries, asked.during_shift, asked.hung_hooks, _say))
    print(figures)
    print(report.write("rollback_latency", figures))


if __name__ == "__main__":
    main()
