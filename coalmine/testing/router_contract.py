"""The contract every router keeps, as tests: subclass, give a fixture ``world``, and pytest runs them.

class TestMyRouter(RouterContract):
    @pytest.fixture
    def world(self): ...   # a RouterWorld over your data plane
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Sequence
from typing import Protocol

import pytest

from activities.routers.base import Router
from coalmine.errors import RouteRejected, RouterUnreachable, StaleGeneration
from coalmine.records import Confirmation, Weights
from coalmine.spec.canary import Route

STABLE, CANARY = "stable", "canary"
"""The backends every world has; all traffic is on ``stable`` at first."""
UNKNOWN, DEAD = "ghost", "dead"
"""A backend the data plane does not know, and one it knows that has no endpoint."""
CONFIRM_WITHIN = 15.0
"""Seconds; long, because no test judges speed."""


class RouterWorld(Protocol):
    """A data plane of at least two proxies that a test can make things happen in."""

    route: Route

    @property
    def workers(self) -> Sequence[Router]:
        """Two routers as two workers have them; one may be the other where the state is in the data plane."""
        ...

    @property
    def proxies(self) -> Sequence[str]:
        """What the router calls them."""
        ...

    async def stop(self, proxy: str) -> None:
        """End a proxy."""
        ...

    async def start(self, proxy: str) -> None:
        """Start it again, at the same address."""
        ...

    def refuse_next(self) -> None:
        """Make the data plane refuse the next write, though it is valid as far as can be seen before."""
        ...


class RouterContract:
    """Tests; each takes the fixture ``world``."""

    async def test_a_route_nobody_has_written_is_at_generation_zero(self, world: RouterWorld) -> None:
        state = await world.workers[0].read(world.route, [STABLE, CANARY])
        assert state.generation == 0
        assert live(state.weights) == {STABLE: 100}
        assert [proxy.proxy for proxy in state.proxies] == list(world.proxies)
        assert all(proxy.ok and live(proxy.weights) == {STABLE: 100} for proxy in state.proxies)

    async def test_what_was_written_is_confirmed_and_read_back_from_every_proxy(self, world: RouterWorld) -> None:
        written = await world.workers[0].apply(world.route, {STABLE: 90, CANARY: 10}, 1)
        assert (live(written.weights), written.generation) == ({STABLE: 90, CANARY: 10}, 1)
        answer = await confirmed(world, 1)
        assert all(proxy.generation == 1 for proxy in answer.proxies)
        state = await world.workers[1].read(world.route, [STABLE, CANARY])
        assert (live(state.weights), state.generation) == ({STABLE: 90, CANARY: 10}, 1)
        assert [live(proxy.weights) for proxy in state.proxies] == [{STABLE: 90, CANARY: 10}] * len(world.proxies)

    async def test_there_and_back_again(self, world: RouterWorld) -> None:
        steps: list[Weights] = [
            {STABLE: 99.99, CANARY: 0.01}, {STABLE: 66.67, CANARY: 33.33}, {STABLE: 0, CANARY: 100},
            {STABLE: 100, CANARY: 0},
        ]  # fmt: skip
        for generation, weights in enumerate(steps, 1):
            await world.workers[0].apply(world.route, weights, generation)
            await confirmed(world, generation)
            state = await world.workers[0].read(world.route, [STABLE, CANARY])
            assert state.weights == weights

    async def test_twice_is_once(self, world: RouterWorld) -> None:
        for worker in (*world.workers, *world.workers):
            await worker.apply(world.route, {STABLE: 90, CANARY: 10}, 4)
        await confirmed(world, 4)
        assert await shown(world) == {STABLE: 90, CANARY: 10}

    async def test_an_older_write_never_overrides_a_newer_one(self, world: RouterWorld) -> None:
        await world.workers[0].apply(world.route, {STABLE: 100, CANARY: 0}, 7)
        for generation in (1, 6):
            with pytest.raises(StaleGeneration):
                await world.workers[1].apply(world.route, {STABLE: 50, CANARY: 50}, generation)
        await confirmed(world, 7)
        assert await shown(world) == {STABLE: 100}

    async def test_the_same_generation_with_other_weights_is_stale(self, world: RouterWorld) -> None:
        await world.workers[0].apply(world.route, {STABLE: 90, CANARY: 10}, 2)
        with pytest.raises(StaleGeneration):
            await world.workers[1].apply(world.route, {STABLE: 50, CANARY: 50}, 2)
        await confirmed(world, 2)
        assert await shown(world) == {STABLE: 90, CANARY: 10}

    async def test_two_workers_in_a_race_leave_the_highest_generation(self, world: RouterWorld) -> None:
        generations = list(range(1, 41))

        async def race(seed: int) -> int:
            order = random.Random(seed).sample(generations, len(generations))
            written = 0
            for generation in order:
                weights = {STABLE: 100.0 - generation, CANARY: float(generation)}
                try:
                    await world.workers[seed % 2].apply(world.route, weights, generation)
                    written += 1
                except StaleGeneration:
                    pass
            return written

        await asyncio.gather(*(race(seed) for seed in range(8)))
        await confirmed(world, 40)
        assert await shown(world) == {STABLE: 60, CANARY: 40}

    @pytest.mark.parametrize(
        ("weights", "word"),
        [
            ({}, "no weights"),
            ({STABLE: 0, CANARY: 0}, "zero"),
            ({STABLE: 101, CANARY: -1}, "negative"),
            ({STABLE: math.nan, CANARY: 10}, "number"),
            ({STABLE: math.inf, CANARY: 10}, "number"),
            ({STABLE: 90, CANARY: 5}, "sum"),
            ({STABLE: 99.999, CANARY: 0.001}, "finer"),
            ({STABLE: 90, UNKNOWN: 10}, UNKNOWN),
            ({STABLE: 90, DEAD: 10}, "healthy"),
        ],
    )
    async def test_wrong_weights_are_refused_before_anything_is_written(
        self, world: RouterWorld, weights: Weights, word: str
    ) -> None:
        with pytest.raises(RouteRejected, match=word):
            await world.workers[0].apply(world.route, weights, 1)
        state = await world.workers[0].read(world.route, [STABLE, CANARY])
        assert (live(state.weights), state.generation) == ({STABLE: 100}, 0)

    async def test_after_a_refusal_the_last_good_weights_are_back_and_the_fence_stays_up(
        self, world: RouterWorld
    ) -> None:
        await world.workers[0].apply(world.route, {STABLE: 90, CANARY: 10}, 1)
        await confirmed(world, 1)
        world.refuse_next()
        with pytest.raises(RouteRejected):
            await world.workers[0].apply(world.route, {STABLE: 50, CANARY: 50}, 3)
        await confirmed(world, 3)
        assert await shown(world) == {STABLE: 90, CANARY: 10}
        with pytest.raises(StaleGeneration):
            await world.workers[1].apply(world.route, {STABLE: 80, CANARY: 20}, 2)
        await world.workers[1].apply(world.route, {STABLE: 100, CANARY: 0}, 4)
        await confirmed(world, 4)
        assert await shown(world) == {STABLE: 100}

    async def test_a_newer_generation_with_the_same_weights_is_confirmed(self, world: RouterWorld) -> None:
        for generation, weights in enumerate([{STABLE: 100.0, CANARY: 0.0}, {STABLE: 100.0}, {STABLE: 100.0}], 1):
            await world.workers[0].apply(world.route, weights, generation)
            await confirmed(world, generation)
            assert (await world.workers[1].read(world.route, [STABLE, CANARY])).generation == generation
        with pytest.raises(StaleGeneration):
            await world.workers[1].apply(world.route, {STABLE: 80, CANARY: 20}, 2)

    async def test_a_generation_that_is_not_there_is_not_confirmed(self, world: RouterWorld) -> None:
        await world.workers[0].apply(world.route, {STABLE: 90, CANARY: 10}, 5)
        await confirmed(world, 5)
        for generation in (4, 6):
            answer = await world.workers[0].confirm(world.route, generation)
            assert answer.answer == "no"
            assert "5" in answer.reason

    async def test_a_proxy_that_is_down_is_named_and_takes_the_route_when_it_is_back(self, world: RouterWorld) -> None:
        down = world.proxies[-1]
        await world.workers[0].apply(world.route, {STABLE: 50, CANARY: 50}, 1)
        await confirmed(world, 1)
        await world.stop(down)
        await world.workers[0].apply(world.route, {STABLE: 100, CANARY: 0}, 2)
        answer = await world.workers[0].confirm(world.route, 2)
        assert answer.answer == "no"
        assert down in answer.reason
        assert [proxy.proxy for proxy in answer.proxies if not proxy.ok] == [down]
        with pytest.raises(RouterUnreachable, match=down):
            await world.workers[0].read(world.route)
        await world.start(down)
        await confirmed(world, 2)
        assert await shown(world) == {STABLE: 100}

    async def test_a_proxy_that_restarts_keeps_the_weights(self, world: RouterWorld) -> None:
        await world.workers[0].apply(world.route, {STABLE: 75, CANARY: 25}, 1)
        await confirmed(world, 1)
        await world.stop(world.proxies[0])
        await world.start(world.proxies[0])
        await confirmed(world, 1)
        assert await shown(world) == {STABLE: 75, CANARY: 25}

    async def test_a_sound_route_passes_every_check(self, world: RouterWorld) -> None:
        checks = await world.workers[0].check(world.route, [STABLE, CANARY], [0.01, 10, 50, 100])
        assert checks
        assert [check for check in checks if not check.ok] == []
        assert all(check.reason for check in checks)

    @pytest.mark.parametrize(
        ("backend", "weight", "word"), [(UNKNOWN, 10, UNKNOWN), (DEAD, 10, "healthy"), (CANARY, 0.001, "finer")]
    )
    async def test_what_would_fail_later_fails_the_check(
        self, world: RouterWorld, backend: str, weight: float, word: str
    ) -> None:
        checks = await world.workers[0].check(world.route, [STABLE, backend], [weight])
        assert word in "; ".join(check.reason for check in checks if not check.ok)
        assert (await world.workers[0].read(world.route)).generation == 0

    async def test_capabilities_are_told(self, world: RouterWorld) -> None:
        capabilities = await world.workers[0].capabilities(world.route)
        assert 0 < capabilities.granularity <= 1


async def confirmed(world: RouterWorld, generation: int) -> Confirmation:
    """Wait until every proxy shows the generation."""
    deadline = time.monotonic() + CONFIRM_WITHIN
    while True:
        answer = await world.workers[0].confirm(world.route, generation, [STABLE, CANARY])
        if answer.answer != "no":
            return answer
        assert time.monotonic() < deadline, answer.reason
        await asyncio.sleep(0.01)


async def shown(world: RouterWorld) -> Weights:
    """The weights all proxies show, without zeros; they must agree."""
    state = await world.workers[0].read(world.route, [STABLE, CANARY])
    assert all(proxy.ok for proxy in state.proxies), state
    assert all(live(proxy.weights) == live(state.weights) for proxy in state.proxies), state
    return live(state.weights)


def live(weights: Weights) -> Weights:
    """Those that get traffic."""
    return {backend: weight for backend, weight in weights.items() if weight}
