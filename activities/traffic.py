"""The activities that touch the route: read it, check what it can do, shift its weights."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Protocol

from temporalio import activity

from activities.failures import translate_errors
from activities.routers.base import Router
from coalmine.errors import RouteUnconfirmed, StaleGeneration
from coalmine.ownership import weights_text
from coalmine.records import (
    CHECK_ROUTE,
    READ_ROUTE,
    SHIFT,
    Check,
    Confirmation,
    RouteCheckRequest,
    RouteChecks,
    RouteRequest,
    RouteState,
    ShiftRequest,
)
from coalmine.spec.canary import Route
from coalmine.telemetry.spans import Marks, past, span

BEAT = 0.4
"""Seconds between heartbeats: the workflow's heartbeat timeout is 2 s."""
DEFAULT_LEASE = 30.0
"""Seconds, of an advisory router that names none: three times what a write may take."""
PROXIES_TRACED = 50
"""Proxies of one write that get a span of their own."""
NO_MARKS = Marks()
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.2


class RoutersByName(Protocol):
    """Where routers come from: ``activities.routers.registry.Routers``, or a plain mapping."""

    def __getitem__(self, name: str, /) -> Router:
        """The router of that name."""
        ...


class TrafficActivities:
    """Reading and shifting, over the routers of this worker."""

    def __init__(self, routers: RoutersByName) -> None:
        self._routers = routers

    @activity.defn(name=READ_ROUTE.name)
    async def read_route(self, request: RouteRequest) -> RouteState:
        """The route as every proxy shows it.

        Raises:
            ApplicationError: ``RouterUnreachable`` (retryable), ``RouteRejected``, ``UnknownAdapter``.
        """
        with translate_errors(), _span("route.read", request.route) as marks:
            shown = await self._routers[request.route.router].read(request.route, request.backends)
            marks.set(generation=shown.generation, weights=weights_text(shown.weights), proxies=len(shown.proxies))
            return shown

    @activity.defn(name=CHECK_ROUTE.name)
    async def check_route(self, request: RouteCheckRequest) -> RouteChecks:
        """Everything that would make a step fail later; what is wrong is an answer, not an error.

        Raises:
            ApplicationError: ``RouterUnreachable`` (retryable), ``RouteRejected``, ``UnknownAdapter``.
        """
        arms = request.arms
        with translate_errors(), _span("route.check", request.route):
            router = self._routers[request.route.router]
            backends = [arms.baseline.backend, arms.canary.backend]
            able = await router.capabilities(request.route)
            checks = await router.check(request.route, backends, request.weights)
            if able.fencing == "strict":
                return RouteChecks(checks=checks)
            lease = able.lease or DEFAULT_LEASE
            told = f"advisory: every write is read back again after {lease:g} s, and written anew if an older one came"
            return RouteChecks(checks=[*checks, Check(ok=True, name="fencing", reason=told)], lease=lease)

    @activity.defn(name=SHIFT.name)
    async def shift(self, request: ShiftRequest) -> RouteState:
        """Write the weights under the generation, wait until every proxy shows them, and say what they show.

        Doing it again is doing it once. Ends at once when it is cancelled; a write on its way then is whole or not
        there, and the next generation overrides it.

        Raises:
            ApplicationError: ``StaleGeneration``, ``RouteRejected``, ``UnknownAdapter``; retryable:
                ``RouteUnconfirmed``, ``RouterUnreachable``.
        """
        with translate_errors():
            router = self._routers[request.route.router]
            progress: dict[str, Any] = {"weights": request.weights, "confirmed": "not written"}
            async with _beating(progress):
                with _span("route.apply", request.route, generation=request.generation):
                    await router.apply(request.route, request.weights, request.generation, restoring=request.restoring)
                progress["confirmed"] = "written"
                with _span("route.confirm", request.route, generation=request.generation) as marks:
                    return await _confirmed(router, request, progress, marks)


def _span(name: str, route: Route, **attributes: Any) -> AbstractContextManager[Marks]:
    return span(name, router=route.router, route=route.name, **attributes)


async def _confirmed(
    router: Router, request: ShiftRequest, progress: dict[str, Any], marks: Marks = NO_MARKS
) -> RouteState:
    """Ask until every proxy shows the generation.

    Raises:
        RouteUnconfirmed: not within ``confirm_within``; names the proxies that do not.
        StaleGeneration: somebody has written a newer generation meanwhile.
    """
    deadline = time.monotonic() + request.confirm_within.total_seconds()
    pause = _FIRST_PAUSE
    waiting = _Waiting(request)
    while True:
        answer = await router.confirm(request.route, request.generation, list(request.weights))
        right = sum(proxy.ok for proxy in answer.proxies)
        progress["confirmed"] = f"{right}/{len(answer.proxies)}"
        waiting.heard(answer)
        marks.set(asked=waiting.asked, confirmed=progress["confirmed"])
        if answer.answer != "no":
            return _state(request, answer)
        newest = max((proxy.generation for proxy in answer.proxies), default=0)
        if newest > request.generation:
            raise StaleGeneration(f"generation {request.generation} was overtaken: {answer.reason}")
        if time.monotonic() + pause > deadline:
            within = request.confirm_within.total_seconds()
            raise RouteUnconfirmed(f"{progress['confirmed']} proxies show it after {within:g} s: {answer.reason}")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


class _Waiting:
    """How long each proxy took to show a generation, as a span of its own."""

    def __init__(self, request: ShiftRequest) -> None:
        self._request = request
        self._began = time.time_ns()
        self._shown: set[str] = set()
        self.asked = 0

    def heard(self, answer: Confirmation) -> None:
        self.asked += 1
        for proxy in answer.proxies:
            if proxy.ok and proxy.proxy not in self._shown and len(self._shown) < PROXIES_TRACED:
                self._shown.add(proxy.proxy)
                told = {"proxy": proxy.proxy, "generation": proxy.generation, "weights": weights_text(proxy.weights)}
                past("proxy.confirm", self._began, time.time_ns(), **told)


def _state(request: ShiftRequest, answer: Confirmation) -> RouteState:
    return RouteState(weights=request.weights, generation=request.generation, proxies=answer.proxies)


@asynccontextmanager
async def _beating(progress: dict[str, Any]) -> AsyncIterator[None]:
    """Heartbeat the progress while the block runs: a hung proxy must not look like a dead worker."""

    async def beat() -> None:
        while True:
            activity.heartbeat(dict(progress))
            await asyncio.sleep(BEAT)

    beats = asyncio.create_task(beat())
    try:
        yield
    finally:
        beats.cancel()
