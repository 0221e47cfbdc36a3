"""Cases of the router contract: refusals, proxies that are down, writes that reach a part, and their confirmation."""

from __future__ import annotations

import asyncio

import pytest

from coalmine.errors import RouteRejected, RouterUnreachable, RouteUnconfirmed, StaleGeneration
from coalmine.testing.router_world import (
    CONFIRM_WITHIN,
    RouterWorld,
    able,
    back,
    confirmed,
    live,
    need,
    shown,
    split,
    state_of,
)


class TroubleCases:
    """Tests; each takes the fixture ``world``."""

    async def test_after_a_refusal_the_last_good_weights_are_back_and_the_fence_stays_up(
        self, world: RouterWorld
    ) -> None:
        need(world, "refusal")
        tenth = await split(world, 10)
        await world.workers[0].apply(world.route, tenth, 1)
        await confirmed(world, 1)
        world.refuse_next()
        with pytest.raises(RouteRejected) as refused:
            await world.workers[0].apply(world.route, await split(world, 50), 3)
        assert not refused.value.retryable
        await confirmed(world, 3)
        assert await shown(world) == tenth
        with pytest.raises(StaleGeneration):
            await world.workers[1].apply(world.route, await split(world, 20), 2)
        await world.workers[1].apply(world.route, back(world), 4)
        await confirmed(world, 4)
        assert await shown(world) == live(back(world))

    async def test_after_a_refusal_nothing_beside_the_route_has_changed(self, world: RouterWorld) -> None:
        need(world, "refusal")
        beside = await world.foreign()
        world.refuse_next()
        with pytest.raises(RouteRejected):
            await world.workers[0].apply(world.route, await split(world, 50), 1)
        assert await world.foreign() == beside
        await confirmed(world, 1)
        assert await shown(world) == live(back(world))

    async def test_a_generation_that_is_not_there_is_not_confirmed(self, world: RouterWorld) -> None:
        await world.workers[0].apply(world.route, await split(world, 10), 5)
        await confirmed(world, 5)
        for generation in (4, 6):
            answer = await world.workers[1].confirm(world.route, generation, world.backends.arms)
            assert answer.answer == "no"
            assert "5" in answer.reason

    async def test_a_route_nobody_has_written_is_not_confirmed(self, world: RouterWorld) -> None:
        answer = await world.workers[0].confirm(world.route, 1, world.backends.arms)
        assert answer.answer == "no"
        assert answer.reason
        assert not any(proxy.ok for proxy in answer.proxies)
        # Where nobody tells of a proxy the place itself may be named.
        assert [proxy.proxy for proxy in answer.proxies] == list(world.proxies) or not world.proxies

    async def test_a_router_that_cannot_confirm_says_so_and_never_yes(self, world: RouterWorld) -> None:
        if (await able(world)).confirm:
            pytest.skip("it confirms")
        await world.workers[0].apply(world.route, await split(world, 10), 1)
        answer = await world.workers[0].confirm(world.route, 1, world.backends.arms)
        assert answer.answer == "unsupported"
        assert answer.reason

    async def test_weights_that_hands_changed_under_the_generation_are_not_confirmed(self, world: RouterWorld) -> None:
        await world.workers[0].apply(world.route, await split(world, 10), 1)
        await confirmed(world, 1)
        half = await split(world, 50)
        await world.meddle_under_the_mark(half)
        assert live((await state_of(world)).weights) == half
        answer = await world.workers[1].confirm(world.route, 1, world.backends.arms)
        assert answer.answer == "no" or (answer.answer == "unsupported" and not (await able(world)).confirm)
        assert answer.reason
        await world.workers[0].apply(world.route, back(world), 2, restoring=True)
        await confirmed(world, 2)
        assert await shown(world) == live(back(world))

    async def test_a_write_that_reached_a_part_is_not_confirmed_until_it_is_repeated(self, world: RouterWorld) -> None:
        need(world, "parts")
        tenth = await split(world, 10)
        await world.workers[0].apply(world.route, tenth, 1)
        world.cut_next_short()
        with pytest.raises(RouteUnconfirmed) as cut:
            await world.workers[0].apply(world.route, back(world), 2)
        assert cut.value.retryable
        if (await able(world)).confirm:
            answer = await world.workers[0].confirm(world.route, 2, world.backends.arms)
            assert answer.answer == "no"
            reached = [live(proxy.weights) for proxy in answer.proxies if proxy.ok]
            assert reached == [live(back(world))] * len(reached)
            assert len(reached) < len(world.proxies)
        await world.workers[1].apply(world.route, back(world), 2)
        await confirmed(world, 2)
        assert await shown(world) == live(back(world))

    async def test_a_write_that_reached_a_part_keeps_older_ones_out_of_the_rest(self, world: RouterWorld) -> None:
        need(world, "parts")
        world.cut_next_short()
        with pytest.raises(RouteUnconfirmed):
            await world.workers[0].apply(world.route, await split(world, 10), 3)
        assert (await state_of(world)).generation == 3
        with pytest.raises(StaleGeneration):
            await world.workers[1].apply(world.route, await split(world, 50), 2)
        await world.workers[1].apply(world.route, back(world), 4)
        await confirmed(world, 4)
        assert await shown(world) == live(back(world))

    async def test_a_proxy_that_is_down_is_named_and_takes_the_route_when_it_is_back(self, world: RouterWorld) -> None:
        need(world, "outage")
        down = world.proxies[-1]
        await world.workers[0].apply(world.route, await split(world, 50), 1)
        await confirmed(world, 1)
        await world.stop(down)
        await world.workers[0].apply(world.route, back(world), 2)
        if (await able(world)).confirm:
            async with asyncio.timeout(CONFIRM_WITHIN):
                # The others may be late on a busy machine.
                while True:
                    answer = await world.workers[0].confirm(world.route, 2, world.backends.arms)
                    assert answer.answer == "no"
                    assert down in answer.reason
                    if [proxy.proxy for proxy in answer.proxies if not proxy.ok] == [down]:
                        break
                    await asyncio.sleep(0.01)
        with pytest.raises(RouterUnreachable) as unreachable:
            await state_of(world)
        assert down in str(unreachable.value)
        assert unreachable.value.retryable
        await world.start(down)
        # A repeat changes nothing where the proxy has found the route by itself.
        await world.workers[1].apply(world.route, back(world), 2)
        await confirmed(world, 2)
        assert await shown(world) == live(back(world))

    async def test_a_rollback_does_not_wait_for_a_proxy_that_hangs(self, world: RouterWorld) -> None:
        need(world, "outage", "hang")
        hung = world.proxies[-1]
        await world.workers[0].apply(world.route, await split(world, 50), 1)
        await confirmed(world, 1)
        await world.hang(hung)
        try:
            async with asyncio.timeout(CONFIRM_WITHIN):
                state = await world.workers[0].apply(world.route, back(world), 2, restoring=True)
        finally:
            await world.resume(hung)
        assert hung in [proxy.proxy for proxy in state.proxies if not proxy.ok]
        await confirmed(world, 2, repeat=back(world))
        assert await shown(world) == live(back(world))

    async def test_a_proxy_that_is_down_fails_the_check(self, world: RouterWorld) -> None:
        need(world, "outage", "health")
        down = world.proxies[0]
        await world.stop(down)
        checks = await world.workers[0].check(world.route, world.backends.arms, [20])
        assert down in "; ".join(check.reason for check in checks if not check.ok)

    async def test_a_proxy_that_restarts_keeps_the_weights(self, world: RouterWorld) -> None:
        need(world, "outage", "memory")
        weights = await split(world, 20)
        await world.workers[0].apply(world.route, weights, 1)
        await confirmed(world, 1)
        await world.stop(world.proxies[0])
        await world.start(world.proxies[0])
        await confirmed(world, 1)
        assert await shown(world) == weights

    async def test_a_proxy_that_forgot_the_weights_is_named_and_written_again(self, world: RouterWorld) -> None:
        need(world, "outage")
        if "memory" not in world.lacks:
            pytest.skip("it keeps them")
        weights = await split(world, 20)
        await world.workers[0].apply(world.route, weights, 1)
        await confirmed(world, 1)
        await world.stop(world.proxies[0])
        await world.start(world.proxies[0])
        if (await able(world)).confirm:
            answer = await world.workers[0].confirm(world.route, 1, world.backends.arms)
            assert answer.answer == "no"
            assert world.proxies[0] in answer.reason
        await world.workers[1].apply(world.route, weights, 1)
        await confirmed(world, 1)
        assert await shown(world) == weights
