"""Requests lost, and the split that is seen, while weights change on real proxies of every kind under 1,000 requests/s.

Run ``python -m benchmarks.proxy_shifts [--only nginx]``. One proxy each, 100 changes, then 10,000 requests at a weight
that stays. The load is open loop, in a process of its own; the backends answer with different statuses, by which it
counts the arms. Writes ``results/proxy_shifts.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from activities.routers.base import Router
from activities.routers.envoy import EnvoyRouter
from activities.routers.envoy_xds import EnvoyXdsRouter
from activities.routers.haproxy import HAProxyRouter
from activities.routers.nginx import NginxRouter
from activities.routers.traefik import TraefikRouter
from benchmarks.ending import run
from benchmarks.envoy_shift import load
from benchmarks.report import RESULTS, machine, quantile, write
from coalmine.local.envoy import EnvoyProxy, fixed_response, route_response
from coalmine.local.haproxy import HAProxy
from coalmine.local.nginx import Nginx
from coalmine.local.traefik import Traefik
from coalmine.records import LoadReport
from coalmine.spec.canary import Route

STABLE, CANARY = "stable", "canary"
STATUSES = {STABLE: 200, CANARY: 201}
CHANGES = 100
RATE = 1_000.0
HELD = 10.0
"""Percent the canary has while the split is counted."""
COUNTED = 10_000
"""Requests over which it is counted."""
LEAD = 1.0
"""Seconds of load before the first change and after the last."""
TIMEOUT = 30.0
"""Seconds a request may take: where other work keeps the machine busy, the load itself is late, and no request lost."""
READY_WITHIN = 60.0
"""Seconds until all checks pass, from a proxy that has just started."""
CONFIRMED_WITHIN = 30.0
"""Seconds until a change is written and confirmed; it takes less than two."""
REPEATED_AFTER = 5.0
"""Seconds without a yes after which a change is written again, as the workflow does: a proxy may have missed it."""
POINTS = 2.0
"""How far the split that is seen may be from the one that was asked for, in percentage points."""


class GaveUp(Exception):
    """Raised when a proxy does not get where it should in time; says which, and what it said last."""


@dataclass(frozen=True)
class Plane:
    """A proxy that runs: its router, its route, and where it takes requests."""

    router: Router
    route: Route
    url: str
    pace: float = 0.2
    """Seconds between the starts of two changes."""
    repeats: list[int] = field(default_factory=list)
    """The generations that were written again, once for each time."""


@asynccontextmanager
async def envoy(folder: Path, backends: Mapping[str, str]) -> AsyncIterator[Plane]:
    """One that watches a route file."""
    file = folder / "shop.json"
    file.write_text(json.dumps(route_response("shop", {STABLE: 10_000, CANARY: 0})))
    async with EnvoyProxy(folder / "envoy", file, {name: [one] for name, one in backends.items()}) as proxy:
        yield Plane(EnvoyRouter(), _route("envoy", files=[str(file)], admins=[proxy.admin_url]), proxy.listener_url)


@asynccontextmanager
async def envoy_xds(folder: Path, backends: Mapping[str, str]) -> AsyncIterator[Plane]:
    """One that is told by a control plane, a process of its own."""
    routes = folder / "routes"
    routes.mkdir()
    (routes / "shop.json").write_text(json.dumps(route_response("shop", {STABLE: 10_000, CANARY: 0})))
    clusters = {name: [one] for name, one in backends.items()}
    async with (
        _control_plane(routes) as (address, admin),
        EnvoyProxy(folder / "edge-1", None, clusters, control_plane=address) as proxy,
    ):
        proxies = [{"node": "edge-1", "admin": proxy.admin_url}]
        yield Plane(EnvoyXdsRouter(), _route("envoy-xds", control=admin, proxies=proxies), proxy.listener_url)


@asynccontextmanager
async def haproxy(folder: Path, backends: Mapping[str, str]) -> AsyncIterator[Plane]:
    """One that is told by its socket."""
    file = folder / "shop.map"
    file.write_text("0:9999 stable\n")
    servers = {name: [one] for name, one in backends.items()}
    async with HAProxy(folder / "haproxy", {"shop": file}, servers, threads=2) as proxy:
        yield Plane(HAProxyRouter(), _route("haproxy", files=[str(file)], sockets=[proxy.socket]), proxy.url("shop"))


@asynccontextmanager
async def nginx(
    folder: Path, backends: Mapping[str, str], keeping: bool = True, over_reloads: bool = False
) -> AsyncIterator[Plane]:
    """One that is reloaded, at most once a second."""
    file = folder / "shop.conf"
    file.write_text('split_clients "${request_id}" $shop { * stable; }\nmap "" $shop_route { default "0"; }\n')
    upstreams = {name: [one] for name, one in backends.items()}
    server = Nginx(folder / "nginx", {"shop": file}, upstreams, workers=2, keeping=keeping, over_reloads=over_reloads)
    async with server as proxy:
        route = _route("nginx", files=[str(file)], proxies=[proxy.option("shop")])
        yield Plane(NginxRouter(), route, proxy.url("shop"), pace=1.0)


@asynccontextmanager
async def traefik(folder: Path, backends: Mapping[str, str]) -> AsyncIterator[Plane]:
    """One that watches a folder."""
    file = folder / "dynamic" / "shop.yml"
    file.parent.mkdir()
    services: dict[str, Any] = {
        name: {"loadBalancer": {"servers": [{"url": f"http://{one}"}]}} for name, one in backends.items()
    }
    services["shop"] = {"weighted": {"services": [{"name": STABLE, "weight": 1}]}}
    routers = {"shop": {"rule": "PathPrefix(`/`)", "entryPoints": ["web"], "service": "shop"}}
    file.write_text(json.dumps({"http": {"routers": routers, "services": services}}))
    async with Traefik(folder / "traefik", file.parent) as proxy:
        yield Plane(TraefikRouter(), _route("traefik", files=[str(file)], apis=[proxy.api]), proxy.url)


PLANES: dict[str, Callable[[Path, Mapping[str, str]], AbstractAsyncContextManager[Plane]]] = {
    "envoy": envoy,
    "envoy-xds": envoy_xds,
    "haproxy": haproxy,
    "nginx": nginx,
    # A reload closes connections that clients keep; one they have just used again is a request they must repeat.
    "nginx_keepalive_min_timeout": partial(nginx, over_reloads=True),
    "nginx_without_keepalive": partial(nginx, keeping=False),
    "traefik": traefik,
}


async def measure(
    name: str, folder: Path, rate: float = RATE, changes: int = CHANGES, counted: int = COUNTED
) -> dict[str, Any]:
    """Run one of them in a folder that is there."""
    async with AsyncExitStack() as stack:
        backends = {arm: await stack.enter_async_context(_backend(folder, arm)) for arm in STATUSES}
        plane = await stack.enter_async_context(PLANES[name](folder, backends))
        await _ready(plane)
        changing, took, within = await _changing(plane, rate, changes)
        await _change(plane, HELD, changes + 1)
        held = await load(plane.url, rate, counted / rate, TIMEOUT)
    answered = sum(held.statuses.get(str(status), 0) for status in STATUSES.values())
    seen = 100 * held.statuses.get(str(STATUSES[CANARY]), 0) / max(1, answered)
    return {
        "changes": changes,
        "changes_written_again": len(plane.repeats),
        "all_under_load": within,
        "requests_per_second": rate,
        "seconds": round(changing.seconds, 1),
        "requests": changing.sent,
        "failed_requests": changing.failed,
        "statuses": changing.statuses,
        "errors": changing.errors,
        "requests_per_second_reached": round(changing.sent / changing.seconds, 1),
        "load_late_ms_max": round(1000 * changing.max_sched_late, 1),
        "request_ms": {one: round(1000 * getattr(changing, one), 1) for one in ("p50", "p99", "max")},
        "apply_to_confirmed_ms": {
            "p50": round(1000 * quantile(took, 0.5), 1),
            "p95": round(1000 * quantile(took, 0.95), 1),
            "max": round(1000 * max(took), 1),
        },
        "split": {
            "asked_percent": HELD,
            "seen_percent": round(seen, 2),
            "requests": held.sent,
            "failed_requests": held.failed,
            "statuses": held.statuses,
            "errors": held.errors,
        },
    }


def good(figures: Mapping[str, Any]) -> bool:
    """Whether no request was lost, all changes met the load, and the split is where it was asked to be."""
    split = figures["split"]
    off = abs(split["seen_percent"] - split["asked_percent"])
    lost = figures["failed_requests"] or split["failed_requests"]
    return not lost and bool(figures["all_under_load"]) and bool(off <= POINTS)


async def _changing(plane: Plane, rate: float, changes: int) -> tuple[LoadReport, list[float], bool]:
    """The load while weights change, how long each change took until it was confirmed, and whether it met them all."""
    stop = LEAD + changes * plane.pace
    begun = asyncio.Event()
    loading = asyncio.create_task(load(plane.url, rate, stop + LEAD, TIMEOUT, begun))
    try:
        await begun.wait()
        await asyncio.sleep(LEAD)
        draw = random.Random(1)
        took: list[float] = []
        began = time.perf_counter()
        for generation in range(1, changes + 1):
            # All the way there and back, and steps between: 0 and 100 are where a request could find nobody.
            canary = (0.0, 100.0, round(draw.uniform(0.01, 99.99), 2))[generation % 3]
            took.append(await _change(plane, canary, generation))
            await asyncio.sleep(max(0.0, began + generation * plane.pace - time.perf_counter()))
        within = not loading.done()
        return await loading, took, within
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)


async def _change(plane: Plane, canary: float, generation: int) -> float:
    began = time.perf_counter()
    weights = {STABLE: round(100 - canary, 2), CANARY: canary}
    said = "nothing"
    try:
        async with asyncio.timeout(CONFIRMED_WITHIN):
            await plane.router.apply(plane.route, weights, generation)
            written = time.perf_counter()
            while (answer := await plane.router.confirm(plane.route, generation, list(weights))).answer != "yes":
                said = answer.reason
                if time.perf_counter() - written > REPEATED_AFTER:
                    await plane.router.apply(plane.route, weights, generation)
                    plane.repeats.append(generation)
                    written = time.perf_counter()
                await asyncio.sleep(0.005)
    except TimeoutError:
        asked = f"change {generation}, to {canary:g} %"
        late = f"was not confirmed within {CONFIRMED_WITHIN:g} s"
        raise GaveUp(f"{plane.route.router}: {asked}, {late}; it said last: {said}") from None
    return time.perf_counter() - began


async def _ready(plane: Plane) -> None:
    wrong = "nothing"
    try:
        async with asyncio.timeout(READY_WITHIN):
            while wrong:
                checks = await plane.router.check(plane.route, [STABLE, CANARY], [HELD])
                wrong = "; ".join(check.reason for check in checks if not check.ok)
                await asyncio.sleep(0.02)
    except TimeoutError:
        late = f"its checks did not pass within {READY_WITHIN:g} s"
        raise GaveUp(f"{plane.route.router}: {late}; they said last: {wrong}") from None


@asynccontextmanager
async def _backend(folder: Path, name: str) -> AsyncIterator[str]:
    """An Envoy that answers by itself with the arm's status: ``host:port``."""
    route = folder / f"{name}.json"
    route.write_text(json.dumps(fixed_response(name, name, STATUSES[name])))
    async with EnvoyProxy(folder / name, route, {}, route_name=name) as proxy:
        yield proxy.listener_url.removeprefix("http://")


@asynccontextmanager
async def _control_plane(routes: Path) -> AsyncIterator[tuple[str, str]]:
    """Where its proxies ask, and where its workers do."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "coalmine.cli", "xds", "--routes", str(routes), "-o", "json"),
        *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        told = json.loads(await process.stdout.readuntil(b"}\n}\n"))
        yield told["address"], told["admin"]
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def _route(router: str, **options: object) -> Route:
    return Route.model_validate({"router": router, "name": "shop", **options})


def main() -> int:
    """Measure, print, write; 1 when a request was lost now or a split was off: what was kept has been judged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(PLANES), help="one of them; the others' figures stay")
    parser.add_argument("--rate", type=float, default=RATE, help="requests per second")
    parser.add_argument("--changes", type=int, default=CHANGES, help="weight changes")
    options = parser.parse_args()
    path = RESULTS / "proxy_shifts.json"
    kept = json.loads(path.read_text())["proxies"] if options.only and path.exists() else {}
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        # The workers of nginx run as another user.
        Path(folder).chmod(0o755)
        for name in [options.only] if options.only else PLANES:
            (Path(folder) / name).mkdir()
            try:
                figures = run(measure(name, Path(folder) / name, options.rate, options.changes))
            except GaveUp as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
            measured.append(figures)
            kept[name] = {**figures, "date": machine()["date"]}
            print(json.dumps({name: figures}, indent=2), flush=True)
    write("proxy_shifts", {"proxies": kept})
    return 0 if all(map(good, measured)) else 1


if __name__ == "__main__":
    sys.exit(main())
