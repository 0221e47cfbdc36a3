"""Requests lost while weights change: 1,000 requests/s through a real Envoy, 200 changes on three Envoys, one file.

Run ``python -m benchmarks.envoy_shift``. The load runs in a process of its own, open loop; the backends are Envoys that
answer by themselves, so that nothing but the proxy under test can lose a request. Writes ``results/envoy_shift.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from activities.load import run_load
from activities.routers.envoy import SETTLE, EnvoyRouter
from benchmarks.ending import run
from benchmarks.report import quantile, write
from coalmine.local.ending import end
from coalmine.local.envoy import EnvoyProxy, fixed_response, route_response
from coalmine.records import LoadReport, LoadRequest, RouteState
from coalmine.spec.canary import Route

STABLE, CANARY = "stable", "canary"
PROXIES = 3
CHANGES = 200
RATE = 1_000.0
LEAD = 1.0
"""Seconds of load before the first change and after the last."""


async def load(
    url: str, rate: float, seconds: float, timeout: float = 5.0, begun: asyncio.Event | None = None
) -> LoadReport:
    """The load, from a process of its own. ``begun`` is set when it begins: on a busy machine that takes seconds."""
    lasting, within = timedelta(seconds=seconds), timedelta(seconds=timeout)
    request = LoadRequest(url=url, rate=rate, duration=lasting, timeout=within)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.envoy_shift", "--load", request.model_dump_json()),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        if begun is not None:
            begun.set()
        output, _ = await process.communicate()
    finally:
        await end(process)
    return LoadReport.model_validate_json(output)


async def backend(stack: AsyncExitStack, folder: Path, name: str) -> str:
    """An Envoy that answers with its name: ``host:port``."""
    route = folder / f"{name}.json"
    route.write_text(json.dumps(fixed_response(name, name)))
    proxy = await stack.enter_async_context(EnvoyProxy(folder / name, route, {}, route_name=name))
    return proxy.listener_url.removeprefix("http://")


async def change(router: EnvoyRouter, route: Route, canary: float, generation: int) -> float:
    """One change, written and confirmed on every proxy; in seconds."""
    began = time.perf_counter()
    weights = {STABLE: 100 - canary, CANARY: canary}
    state: RouteState = await router.apply(route, weights, generation)
    answer = await router.confirm(route, generation, list(weights))
    while answer.answer != "yes":
        await asyncio.sleep(0.005)
        answer = await router.confirm(route, generation, list(weights))
    assert state.generation == generation
    return time.perf_counter() - began


async def measure(folder: Path, rate: float, changes: int, pace: float) -> dict[str, object]:
    """Run it; ``pace`` is the time between the starts of two changes, in seconds."""
    async with AsyncExitStack() as stack:
        clusters = {name: [await backend(stack, folder, name)] for name in (STABLE, CANARY)}
        file = folder / "route.json"
        file.write_text(json.dumps(route_response("shop", {STABLE: 10_000, CANARY: 0})))
        proxies = [
            await stack.enter_async_context(EnvoyProxy(folder / f"proxy-{number}", file, clusters))
            for number in range(PROXIES)
        ]
        route = Route.model_validate(
            {"router": "envoy", "name": "shop", "files": [str(file)], "admins": [proxy.admin_url for proxy in proxies]}
        )
        router = EnvoyRouter()
        loading = asyncio.create_task(load(proxies[0].listener_url, rate, changes * pace + 2 * LEAD))
        await asyncio.sleep(LEAD)
        draw = random.Random(1)
        took: list[float] = []
        began = time.perf_counter()
        for generation in range(1, changes + 1):
            # All the way there and back, and steps between: 0 and 100 are where a request could find no cluster.
            canary = (0.0, 100.0, round(draw.uniform(0.01, 99.99), 2))[generation % 3]
            took.append(await change(router, route, canary, generation))
            await asyncio.sleep(max(0.0, began + generation * pace - time.perf_counter()))
        report = await loading
    return {
        "proxies": PROXIES,
        "changes": changes,
        "changes_per_second": round(1 / pace, 1),
        "requests_per_second": rate,
        "requests": report.sent,
        "failed_requests": report.failed,
        "statuses": report.statuses,
        "errors": report.errors,
        "request_ms": {name: round(1000 * getattr(report, name), 1) for name in ("p50", "p99", "max")},
        "load_late_ms_max": round(1000 * report.max_sched_late, 1),
        "apply_to_confirmed_ms": {
            "p50": round(1000 * quantile(took, 0.5), 1),
            "p95": round(1000 * quantile(took, 0.95), 1),
            "max": round(1000 * max(took), 1),
            "of_which_settling": 1000 * SETTLE,
        },
    }


def main() -> int:
    """Measure, print, write; 1 when a request was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=RATE, help="requests per second")
    parser.add_argument("--changes", type=int, default=CHANGES, help="weight changes")
    parser.add_argument("--pace", type=float, default=0.2, help="seconds between two changes")
    options = parser.parse_args()
    if options.load:
        print("begun", flush=True)
        print(asyncio.run(run_load(LoadRequest.model_validate_json(options.load))).model_dump_json())
        return 0
    with tempfile.TemporaryDirectory() as folder:
        figures = run(measure(Path(folder), options.rate, options.changes, options.pace))
    print(json.dumps(figures, indent=2))
    write("envoy_shift", figures)
    return 0 if figures["failed_requests"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
