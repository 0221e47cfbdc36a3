"""A router in memory, with proxies that can be down, lag or refuse: for tests of workflows and of adapters' users.

It keeps the contract of ``activities.routers.base`` (its own tests run ``router_contract``), and writes down every
attempt, so that a test can check what was asked, in which order, and that no older write ever won.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from activities.routers.weights import percents, weight_units, weights_check
from coalmine.errors import RouteRejected, RouterUnreachable, RouteUnconfirmed, StaleGeneration
from coalmine.records import Capabilities, Check, Confirmation, ProxyState, RouteState, Weights
from coalmine.spec.canary import Route


@dataclass(frozen=True)
class FakeWrite:
    """One attempt to write. ``at`` is by the router's clock, in seconds."""

    at: float
    route: str
    weights: Weights
    generation: int
    result: Literal["written", "kept", "stale", "invalid", "refused"]


@dataclass
class _Shown:
    weights: Weights
    generation: int = 0
    lag: int = 0
    cut: bool = False


@dataclass
class _Plane:
    weights: Weights
    proxies: dict[str, _Shown]
    written: Weights
    """Those of the generation: what is there when nobody has meddled."""
    generation: int = 0
    refusals: list[str] = field(default_factory=list)


class FakeRouter:
    """``FakeRouter({"stable": 100, "canary": 0})``; two workers may share one, as they share a data plane."""

    able = Capabilities(
        fencing="strict", granularity=0.01, confirm=True, tested_against="nothing: it is a stand-in, in memory"
    )

    def __init__(
        self,
        weights: Weights,
        proxies: Sequence[str] = ("proxy-1", "proxy-2", "proxy-3"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Every route starts with ``weights`` (percent), whose keys are the backends the proxies know."""
        self.log: list[FakeWrite] = []
        self.slow = 0.0
        """Seconds every call takes."""
        self._first = percents(weight_units(weights))
        self._proxies = tuple(proxies)
        self._clock = clock
        self._planes: dict[str, _Plane] = {}
        self._down: set[str] = set()
        self._dead: set[str] = set()
        self._unanswered = 0
        self._unheard = 0
        self._cut = 0

    # ------------------------------------------------------------------------------ what a test can do to it

    def reject_next(self, times: int = 1, reason: str = "the data plane refused the route", route: str = "") -> None:
        """Let the data plane refuse the next writes, of ``route`` or of every route there is by then."""
        for name in [route] if route else list(self._planes) or [""]:
            self._plane(name).refusals += [reason] * times

    def be_unreachable(self, calls: int) -> None:
        """Let the next calls, of any method, find nobody."""
        self._unanswered += calls

    def lose_answers(self, writes: int) -> None:
        """Let the next writes arrive, and whoever wrote hear nothing."""
        self._unheard += writes

    def cut_short(self, writes: int) -> None:
        """Let the next writes reach the first proxy only."""
        self._cut += writes

    def lag(self, confirms: int, proxy: str, route: str) -> None:
        """Let a proxy take the next write only after so many calls of ``confirm``."""
        self._plane(route).proxies[proxy].lag = confirms

    def take_down(self, proxy: str) -> None:
        """Stop a proxy: it answers nothing."""
        self._down.add(proxy)

    def bring_up(self, proxy: str) -> None:
        """Start a proxy again: it reads the routes as they are now."""
        self._down.discard(proxy)
        for plane in self._planes.values():
            plane.proxies[proxy] = _Shown(plane.weights, plane.generation)

    def end_endpoints(self, backend: str) -> None:
        """Leave a backend without a healthy endpoint."""
        self._dead.add(backend)

    def overtake(self, route: str, weights: Weights, generation: int) -> None:
        """Let somebody else write, past every rule: under the generation there, it is meddling."""
        plane = self._plane(route)
        if generation != plane.generation:
            plane.written = dict(weights)
        plane.weights, plane.generation = dict(weights), generation
        self._spread(plane)

    def shown(self, route: str) -> dict[str, Weights]:
        """What each proxy does with the route now."""
        return {name: dict(proxy.weights) for name, proxy in self._plane(route).proxies.items()}

    # ------------------------------------------------------------------------------------------ the contract

    async def capabilities(self, route: Route) -> Capabilities:
        """Strict fence, steps of 0.01 %."""
        return self.able

    async def check(self, route: Route, backends: Sequence[str], weights: Sequence[float]) -> list[Check]:
        """One check for the weights, one for each backend, one for each proxy that is down."""
        await self._called()
        checks = [weights_check(weights)]
        for backend in backends:
            problem = self._problem(backend)
            checks.append(Check(ok=not problem, name="backend", reason=problem or f"{backend!r} can get traffic"))
        checks += [Check(ok=False, name="proxy", reason=f"{name}: no answer") for name in sorted(self._down)]
        return checks

    async def read(self, route: Route, backends: Sequence[str] = ()) -> RouteState:
        """The weights that were written last, and what every proxy shows.

        Raises:
            RouterUnreachable: a proxy is down.
            RouteRejected: the route has keys of its own.
        """
        await self._called()
        for key in route.options:
            raise RouteRejected(f"route.{key}: the fake router takes no such key: remove it")
        plane = self._plane(route.name)
        proxies = self._states(plane, plane.generation)
        silent = [proxy.detail for proxy in proxies if proxy.proxy in self._down]
        if silent:
            raise RouterUnreachable("; ".join(silent))
        weights = {**dict.fromkeys(backends, 0.0), **plane.weights}
        return RouteState(weights=weights, generation=plane.generation, proxies=proxies)

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        """Write for every proxy that is up; all of them see the same endpoints, so ``restoring`` changes nothing.

        Raises:
            StaleGeneration: a newer generation is there, or the same one with other weights.
            RouteRejected: the weights are wrong, or ``reject_next`` was called.
            RouterUnreachable: ``be_unreachable`` or ``lose_answers`` was called.
            RouteUnconfirmed: ``cut_short`` was called.
        """
        await self._called()
        plane = self._plane(route.name)
        wanted = self._valid(route.name, plane, weights, generation)
        same = {name: weight for name, weight in wanted.items() if weight} == {
            name: weight for name, weight in plane.weights.items() if weight
        }
        if generation < plane.generation or (generation == plane.generation and not same):
            self._note(route.name, weights, generation, "stale")
            raise StaleGeneration(f"route {route.name!r} carries generation {plane.generation}, not {generation}")
        for proxy in plane.proxies.values():
            proxy.cut = False
        if generation == plane.generation:
            self._spread(plane)
            self._note(route.name, weights, generation, "kept")
            return RouteState(weights=wanted, generation=generation, proxies=self._states(plane, generation))
        plane.generation, plane.written = generation, plane.weights
        if plane.refusals:
            self._spread(plane)
            self._note(route.name, weights, generation, "refused")
            raise RouteRejected(plane.refusals.pop(0))
        plane.weights = plane.written = wanted
        cut = [proxy for name, proxy in plane.proxies.items() if name != self._proxies[0]] if self._cut else []
        for proxy in cut:
            proxy.cut = True
        self._spread(plane)
        self._note(route.name, weights, generation, "written")
        if cut:
            self._cut -= 1
            raise RouteUnconfirmed(f"generation {generation} is at {self._proxies[0]} only")
        if self._unheard:
            self._unheard -= 1
            raise RouterUnreachable("the data plane's answer was lost")
        return RouteState(weights=wanted, generation=generation, proxies=self._states(plane, generation))

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        """Whether every proxy shows the generation, with the weights it was written with.

        Raises:
            RouterUnreachable: ``be_unreachable`` was called.
        """
        await self._called()
        plane = self._plane(route.name)
        proxies = self._states(plane, generation)
        for name, proxy in plane.proxies.items():
            if proxy.lag and name not in self._down:
                proxy.lag -= 1
        self._spread(plane)
        for proxy_state in proxies:
            if proxy_state.ok and proxy_state.weights != plane.written:
                proxy_state.ok = False
                proxy_state.detail = f"{proxy_state.proxy}: shows generation {generation} with other weights"
        wrong = [proxy.detail for proxy in proxies if not proxy.ok]
        if plane.generation != generation:
            wrong.insert(0, f"the route carries generation {plane.generation}, not {generation}")
        return Confirmation(answer="no" if wrong else "yes", reason="; ".join(wrong), proxies=proxies)

    async def _called(self) -> None:
        await asyncio.sleep(self.slow)
        if self._unanswered:
            self._unanswered -= 1
            raise RouterUnreachable("the data plane did not answer")

    def _plane(self, route: str) -> _Plane:
        if route not in self._planes:
            # Refusals asked for before there was any route belong to the first one.
            early = self._planes.pop("", None)
            proxies = {name: _Shown(self._first) for name in self._proxies}
            self._planes[route] = _Plane(self._first, proxies, self._first, refusals=early.refusals if early else [])
        return self._planes[route]

    def _valid(self, route: str, plane: _Plane, weights: Weights, generation: int) -> Weights:
        try:
            wanted = percents(weight_units(weights))
            if generation < 1:
                raise RouteRejected(f"generation {generation}: generations count from 1")
            for backend, weight in wanted.items():
                problem = self._problem(backend) if weight and not plane.weights.get(backend) else ""
                if problem:
                    raise RouteRejected(problem)
        except RouteRejected:
            self._note(route, weights, generation, "invalid")
            raise
        return wanted

    def _problem(self, backend: str) -> str:
        if backend not in self._first:
            return f"does not know backend {backend!r} (known: {', '.join(self._first)})"
        return f"backend {backend!r} has no healthy endpoint" if backend in self._dead else ""

    def _spread(self, plane: _Plane) -> None:
        for name, proxy in plane.proxies.items():
            if name not in self._down and not proxy.lag and not proxy.cut:
                proxy.weights, proxy.generation = plane.weights, plane.generation

    def _states(self, plane: _Plane, generation: int) -> list[ProxyState]:
        states = []
        for name, proxy in plane.proxies.items():
            if name in self._down:
                states.append(ProxyState(proxy=name, ok=False, detail=f"{name}: no answer"))
                continue
            ok = proxy.generation == generation
            detail = "" if ok else f"{name}: shows generation {proxy.generation}, not {generation}"
            states.append(
                ProxyState(proxy=name, ok=ok, generation=proxy.generation, weights=dict(proxy.weights), detail=detail)
            )
        return states

    def _note(
        self,
        route: str,
        weights: Weights,
        generation: int,
        result: Literal["written", "kept", "stale", "invalid", "refused"],
    ) -> None:
        self.log.append(FakeWrite(self._clock(), route, dict(weights), generation, result))
