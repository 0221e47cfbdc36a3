"""A router for an edge that polls a JSON file of whole percents: ``{"shop": {"stable": 100, "canary": 0}}``.

The file has no room for a generation, so the fence is kept beside it and the router is ``advisory``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from activities.routers.fences import LEASE, FenceRow, Fences, fits
from activities.routers.file_fences import FileFenceRows
from activities.routers.locked_files import locked, replace
from activities.routers.weights import weight_units, weights_check
from coalmine.errors import RouteRejected, RouterUnreachable
from coalmine.records import Capabilities, Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.base import SpecModel
from coalmine.spec.canary import Route

STEP = 1.0


class WeightsFileRoute(SpecModel):
    """What a spec says in ``route`` besides ``router`` and ``name``."""

    file: str
    fences: str


class WeightsFileRouter:
    """One file for all routes; each knows the backends that it lists."""

    able = Capabilities(
        fencing="advisory", granularity=STEP, lease=3 * LEASE, tested_against="the file itself: there is no more to it"
    )

    def __init__(self) -> None:
        self._fences: dict[str, Fences] = {}

    async def capabilities(self, route: Route) -> Capabilities:
        """The same for every route."""
        _options(route)
        return self.able

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """One check for the weights, one for the file."""
        try:
            known = await self._shown(route)
            _known(known, backends, route)
        except (RouteRejected, RouterUnreachable) as error:
            return [weights_check(weights, STEP), Check(ok=False, name="file", reason=str(error))]
        return [weights_check(weights, STEP), Check(ok=True, name="file", reason=f"it has route {route.name!r}")]

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """What the file says, under the generation of the fence."""
        shown = {**dict.fromkeys(backends, 0.0), **await self._shown(route)}
        row = await self._fence(route).read(_key(route))
        return RouteState(weights=shown, generation=row.generation, proxies=[_proxy(route, shown, row)])

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Raise the fence, then write the file. There is one file, so ``restoring`` changes nothing."""
        if generation < 1:
            raise RouteRejected(f"generation {generation}: generations count from 1")
        units = weight_units(weights, STEP)
        _known(await self._shown(route), [backend for backend, unit in units.items() if unit], route)
        async with self._fence(route).raised(_key(route), generation, weights) as held:
            await held.write(lambda: asyncio.to_thread(_write, route, weights))
        proxy = _proxy(route, weights, FenceRow(generation=generation, weights=weights))
        return RouteState(weights=weights, generation=generation, proxies=[proxy])

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Yes when the fence has the generation and the file has its weights."""
        shown = {**dict.fromkeys(backends, 0.0), **await self._shown(route)}
        row = await self._fence(route).read(_key(route))
        proxy = _proxy(route, shown, row)
        if row.generation != generation:
            proxy.ok, proxy.detail = False, f"carries generation {row.generation}, not {generation}"
        return Confirmation(answer="yes" if proxy.ok else "no", reason=proxy.detail, proxies=[proxy])

    def _fence(self, route: Route) -> Fences:
        folder = _options(route).fences
        return self._fences.setdefault(folder, Fences(FileFenceRows(Path(folder))))

    async def _shown(self, route: Route) -> Weights:
        routes = await asyncio.to_thread(_read, Path(_options(route).file))
        if route.name not in routes:
            raise RouteRejected(f"{_options(route).file}: has no route {route.name!r} (it has {', '.join(routes)})")
        return routes[route.name]


def _options(route: Route) -> WeightsFileRoute:
    try:
        return WeightsFileRoute.model_validate(route.options)
    except ValidationError as error:
        problems = [f"route.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise RouteRejected("; ".join(problems)) from error


def _key(route: Route) -> str:
    return f"{_options(route).file}#{route.name}"


def _known(known: Weights, backends: Sequence[str], route: Route) -> None:
    for backend in backends:
        if backend not in known:
            raise RouteRejected(f"route {route.name!r} does not list backend {backend!r}: write it there with weight 0")


def _proxy(route: Route, shown: Weights, row: FenceRow) -> ProxyState:
    name = _options(route).file
    wrong = "" if not row.generation or fits(row, shown) else f"{name}: has other weights than were written"
    return ProxyState(proxy=name, ok=not wrong, generation=row.generation, weights=shown, detail=wrong)


def _read(path: Path) -> dict[str, Weights]:
    try:
        routes: dict[str, Weights] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RouterUnreachable(f"{path}: could not be read ({error.strerror})") from error
    except ValueError as error:
        raise RouteRejected(f"{path}: is not JSON ({error}): mend the file") from error
    return routes


def _write(route: Route, weights: Weights) -> None:
    path = Path(_options(route).file)
    with locked([path]):
        routes = _read(path)
        there = routes[route.name]
        routes[route.name] = {**dict.fromkeys(there, 0.0), **weights}
        if routes[route.name] != there:
            try:
                replace(path, json.dumps(routes, indent=2))
            except OSError as error:
                raise RouterUnreachable(f"{path}: could not be written ({error.strerror})") from error
