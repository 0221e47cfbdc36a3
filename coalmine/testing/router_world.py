"""What a test of the router contract may do to a data plane: one class to fill for each adapter.

``route``, ``workers``, ``proxies``, ``meddle`` and ``foreign`` every plane has. The rest is what only some have: give
the method, or name what the plane lacks in ``lacks`` with the reason, and its cases are skipped with that reason.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import pytest

from activities.routers.base import Router
from coalmine.records import Capabilities, Confirmation, RouteState, Weights
from coalmine.spec.canary import Route

CONFIRM_WITHIN = 15.0
"""Seconds; long, because no test judges speed."""

Lack = Literal[
    "outage",
    "hang",
    "health",
    "memory",
    "refusal",
    "parts",
    "lost answer",
    "endpoints",
    "second route",
    "missing route",
    "options",
]
"""What a data plane may not have.

``outage``: proxies that can be stopped. ``hang``: proxies that can be frozen. ``health``: word of a proxy that is down
before a write misses it. ``memory``: weights that outlive a restart. ``refusal``: a no to what looked valid. ``parts``:
places of which a write can reach some only. ``lost answer``: writes whose answer can be lost on the way. ``endpoints``:
knowledge of which backend has a healthy one. ``second route``: room for another route. ``missing route``: routes that
are not there. ``options``: keys of its own in ``route``, so that an unknown one can be told.
"""
LACKS: tuple[Lack, ...] = get_args(Lack)


@dataclass(frozen=True)
class Backends:
    """What the plane calls the arms: ``stable`` has all traffic at first.

    ``unknown`` is not there, and ``dead`` is there without a healthy endpoint.
    """

    stable: str = "stable"
    canary: str = "canary"
    unknown: str = "ghost"
    dead: str = "dead"

    @property
    def arms(self) -> list[str]:
        """Those that are asked for."""
        return [self.stable, self.canary]


class RouterWorld(ABC):
    """A data plane at rest, all traffic on ``backends.stable``, that no adapter of ours has written yet."""

    route: Route
    backends: Backends = Backends()
    lacks: Mapping[Lack, str] = {}
    """What this plane does not have, and why: the reason its cases are skipped with."""

    @property
    @abstractmethod
    def workers(self) -> Sequence[Router]:
        """Two routers as two workers have them, which share nothing but what workers of one installation share."""

    @property
    @abstractmethod
    def proxies(self) -> Sequence[str]:
        """What the router calls the places that show the route, at least one, in the order it tells them."""

    @abstractmethod
    async def meddle(self, weights: Weights) -> None:
        """Write weights as an outsider does, past the router and its fence; return when every proxy has them."""

    async def meddle_under_the_mark(self, weights: Weights) -> None:
        """The same, while generation and version stay as they stand; as ``meddle`` where that leaves them."""
        await self.meddle(weights)

    @abstractmethod
    async def foreign(self) -> object:
        """Everything of the plane that is not the weights of ``route``: other routes and rules, comments, time-outs.

        Two answers are equal when nothing of it changed.
        """

    @property
    def second(self) -> Route:
        """Another route of the same plane over the same backends, at rest as well (``second route``)."""
        raise NotImplementedError

    @property
    def missing(self) -> Route:
        """A route that is not there (``missing route``)."""
        return self.route.model_copy(update={"name": "no-such-route"})

    async def stop(self, proxy: str) -> None:
        """End a proxy (``outage``)."""
        raise NotImplementedError

    async def start(self, proxy: str) -> None:
        """Start it again, at the same address (``outage``)."""
        raise NotImplementedError

    async def hang(self, proxy: str) -> None:
        """Freeze a proxy: it takes connections and answers nothing (``hang``).

        From now on let questions that the router sets no limit of its own to last for minutes, where there are any:
        who waits for one is caught by that, and not by a stop watch.
        """
        raise NotImplementedError

    async def resume(self, proxy: str) -> None:
        """Let it go on (``hang``)."""
        raise NotImplementedError

    def refuse_next(self) -> None:
        """Make the plane refuse the next write, though it is valid as far as can be seen before (``refusal``)."""
        raise NotImplementedError

    def lose_next_answer(self) -> None:
        """Let the next write arrive, and its answer be lost: the caller sees an error (``lost answer``)."""
        raise NotImplementedError

    def cut_next_short(self) -> None:
        """Let the next write reach a part of the plane only (``parts``)."""
        raise NotImplementedError


def need(world: RouterWorld, *wanted: Lack) -> None:
    """Skip the case, with the reason, when the plane lacks one of these."""
    for lack in wanted:
        if lack in world.lacks:
            pytest.skip(f"no {lack}: {world.lacks[lack]}")


async def able(world: RouterWorld) -> Capabilities:
    """What the router says it can do."""
    return await world.workers[0].capabilities(world.route)


async def split(world: RouterWorld, percent: float, to: str = "") -> Weights:
    """Weights with about ``percent`` on the canary, or on ``to``: a step the router can do, never 0 or 100."""
    step = (await able(world)).granularity
    share = round(min(max(round(percent / step), 1), round(100 / step) - 1) * step, 4)
    return {world.backends.stable: round(100 - share, 4), to or world.backends.canary: share}


def back(world: RouterWorld) -> Weights:
    """All traffic on ``stable``."""
    return {world.backends.stable: 100.0, world.backends.canary: 0.0}


async def state_of(world: RouterWorld, worker: int = 0, route: Route | None = None) -> RouteState:
    """The route as that worker reads it."""
    return await world.workers[worker].read(route or world.route, world.backends.arms)


async def confirmed(
    world: RouterWorld, generation: int, route: Route | None = None, *, repeat: Weights | None = None
) -> Confirmation:
    """Wait until every proxy shows the generation; where the plane cannot say so, until it is read.

    With ``repeat``, the generation's weights, the write is repeated once when the time is over, as the workflow does: a
    proxy may have missed that its file changed, and only a write mends that.
    """
    deadline = time.monotonic() + CONFIRM_WITHIN
    while True:
        answer = await world.workers[0].confirm(route or world.route, generation, world.backends.arms)
        if answer.answer == "yes":
            return answer
        if answer.answer == "unsupported" and (await state_of(world, route=route)).generation == generation:
            return answer
        if repeat is not None and time.monotonic() > deadline:
            await world.workers[0].apply(route or world.route, repeat, generation)
            deadline, repeat = time.monotonic() + CONFIRM_WITHIN, None
        assert time.monotonic() < deadline, answer.reason
        await asyncio.sleep(0.01)


async def shown(world: RouterWorld, route: Route | None = None) -> Weights:
    """The weights all proxies show, without zeros; they must agree."""
    state = await state_of(world, route=route)
    assert all(proxy.ok for proxy in state.proxies), state
    assert all(live(proxy.weights) == live(state.weights) for proxy in state.proxies), state
    return live(state.weights)


def live(weights: Weights) -> Weights:
    """Those that get traffic."""
    return {backend: weight for backend, weight in weights.items() if weight}
