"""Cases of the router contract: an older write never wins, and a write that is repeated is one write."""

from __future__ import annotations

import asyncio
import random

import pytest

from coalmine.errors import RouterError, StaleGeneration
from coalmine.records import Weights
from coalmine.testing.router_world import RouterWorld, back, confirmed, live, need, shown, split, state_of

RACE = 16
"""Generations of a race."""
RACERS = 4


class FencingCases:
    """Tests; each takes the fixture ``world``."""

    async def test_twice_is_once(self, world: RouterWorld) -> None:
        tenth = await split(world, 10)
        for worker in (*world.workers, *world.workers):
            await worker.apply(world.route, tenth, 4)
        await confirmed(world, 4)
        assert await shown(world) == tenth

    async def test_a_write_whose_answer_was_lost_may_be_repeated(self, world: RouterWorld) -> None:
        need(world, "lost answer")
        tenth = await split(world, 10)
        world.lose_next_answer()
        with pytest.raises(RouterError) as lost:
            await world.workers[0].apply(world.route, tenth, 3)
        assert lost.value.retryable
        state = await state_of(world)
        assert (live(state.weights), state.generation) == (tenth, 3)
        for worker in world.workers:
            again = await worker.apply(world.route, tenth, 3)
            assert (live(again.weights), again.generation) == (tenth, 3)
        await confirmed(world, 3)
        assert await shown(world) == tenth

    async def test_a_write_whose_answer_was_lost_keeps_older_ones_out(self, world: RouterWorld) -> None:
        need(world, "lost answer")
        tenth = await split(world, 10)
        world.lose_next_answer()
        with pytest.raises(RouterError):
            await world.workers[0].apply(world.route, tenth, 3)
        with pytest.raises(StaleGeneration):
            await world.workers[1].apply(world.route, await split(world, 50), 2)
        await world.workers[0].apply(world.route, tenth, 3)
        await confirmed(world, 3)
        assert await shown(world) == tenth

    async def test_an_older_write_never_overrides_a_newer_one(self, world: RouterWorld) -> None:
        await world.workers[0].apply(world.route, back(world), 7)
        for generation in (1, 6):
            for worker in world.workers:
                with pytest.raises(StaleGeneration) as stale:
                    await worker.apply(world.route, await split(world, 50), generation)
                assert "7" in str(stale.value)
                assert not stale.value.retryable
        await confirmed(world, 7)
        assert await shown(world) == live(back(world))

    async def test_an_older_write_of_the_same_weights_is_stale_too(self, world: RouterWorld) -> None:
        tenth = await split(world, 10)
        await world.workers[0].apply(world.route, tenth, 7)
        with pytest.raises(StaleGeneration):
            await world.workers[1].apply(world.route, tenth, 6)
        await confirmed(world, 7)

    async def test_the_same_generation_with_other_weights_is_stale(self, world: RouterWorld) -> None:
        tenth = await split(world, 10)
        await world.workers[0].apply(world.route, tenth, 2)
        for worker in world.workers:
            with pytest.raises(StaleGeneration):
                await worker.apply(world.route, await split(world, 50), 2)
        await confirmed(world, 2)
        assert await shown(world) == tenth

    async def test_a_newer_write_of_another_worker_wins_and_the_first_hears_of_it(self, world: RouterWorld) -> None:
        first, other = world.workers
        await first.apply(world.route, await split(world, 10), 2)
        await other.apply(world.route, back(world), 3)
        with pytest.raises(StaleGeneration):
            await first.apply(world.route, await split(world, 10), 2)
        assert (await state_of(world)).generation == 3
        await first.apply(world.route, await split(world, 50), 4)
        await confirmed(world, 4)
        assert await shown(world) == await split(world, 50)

    async def test_a_restore_is_fenced_as_any_write(self, world: RouterWorld) -> None:
        await world.workers[0].apply(world.route, await split(world, 10), 5)
        with pytest.raises(StaleGeneration):
            await world.workers[1].apply(world.route, back(world), 4, restoring=True)
        await world.workers[1].apply(world.route, back(world), 6, restoring=True)
        await confirmed(world, 6)
        assert await shown(world) == live(back(world))

    async def test_generations_may_leave_gaps(self, world: RouterWorld) -> None:
        for generation in (1, 10, 1_000_000_007):
            await world.workers[0].apply(world.route, await split(world, 10), generation)
            await confirmed(world, generation)
        assert (await state_of(world, worker=1)).generation == 1_000_000_007

    async def test_two_workers_in_a_race_leave_the_highest_generation(self, world: RouterWorld) -> None:
        weights = {number: await split(world, float(number)) for number in range(1, RACE + 1)}

        async def race(seed: int) -> None:
            for generation in random.Random(seed).sample(range(1, RACE + 1), RACE):
                await _unless_stale(world, seed % 2, weights[generation], generation)

        async with asyncio.TaskGroup() as racing:
            for seed in range(RACERS):
                racing.create_task(race(seed))
        await confirmed(world, RACE)
        assert await shown(world) == weights[RACE]

    async def test_of_two_with_one_generation_one_is_stale(self, world: RouterWorld) -> None:
        wanted = [await split(world, 10), await split(world, 50)]
        for generation in range(1, 6):
            won = await asyncio.gather(*(_unless_stale(world, worker, wanted[worker], generation) for worker in (0, 1)))
            assert sorted(won) == [False, True]
            weights = wanted[won.index(True)]
            await confirmed(world, generation, repeat=weights)
            assert await shown(world) == weights

    async def test_a_newer_generation_with_the_same_weights_is_confirmed(self, world: RouterWorld) -> None:
        for generation, weights in enumerate([back(world), live(back(world)), live(back(world))], 1):
            await world.workers[0].apply(world.route, weights, generation)
            await confirmed(world, generation)
            assert (await state_of(world, worker=1)).generation == generation
        with pytest.raises(StaleGeneration):
            await world.workers[1].apply(world.route, await split(world, 20), 2)

    async def test_a_write_that_is_cancelled_is_whole_or_not_there(self, world: RouterWorld) -> None:
        half = await split(world, 50)
        for generation in range(1, 12, 2):
            await _cut(world, half, generation)
            assert live((await state_of(world)).weights) in (half, live(back(world)))
            await world.workers[1].apply(world.route, back(world), generation + 1)
            await confirmed(world, generation + 1)
            assert await shown(world) == live(back(world))

    async def test_a_write_that_was_cancelled_may_be_repeated(self, world: RouterWorld) -> None:
        for generation in range(1, 7):
            weights = await split(world, 10.0 * generation)
            await _cut(world, weights, generation)
            await world.workers[1].apply(world.route, weights, generation)
            await confirmed(world, generation)
            assert await shown(world) == weights


async def _unless_stale(world: RouterWorld, worker: int, weights: Weights, generation: int) -> bool:
    try:
        await world.workers[worker].apply(world.route, weights, generation)
    except StaleGeneration:
        return False
    return True


async def _cut(world: RouterWorld, weights: Weights, generation: int) -> None:
    """Cancel a write at a moment that differs by generation: before, in the middle of, or after it."""
    write = asyncio.create_task(world.workers[0].apply(world.route, weights, generation))
    await asyncio.sleep(generation / 2_000)
    write.cancel()
    await asyncio.gather(write, return_exceptions=True)
