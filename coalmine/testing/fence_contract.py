"""The contract of every store of fences, as tests: subclass, and give a fixture ``stores``.

class TestMyRows(FenceContract):
    @pytest.fixture
    def stores(self): ...   # two FenceRows as two workers have them, over one empty place
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from activities.routers.fences import FenceRow, FenceRows, Fences, fits
from coalmine.errors import RouteUnconfirmed, StaleGeneration

KEY = "edge/eu-1/listener rule: 50 %/ü"
"""A route's key may hold anything."""
TENTH = {"stable": 90.0, "canary": 10.0}
HALF = {"stable": 50.0, "canary": 50.0}
Stores = Sequence[FenceRows]


class FenceContract:
    """Tests; each takes the fixture ``stores``."""

    async def test_a_route_nobody_has_written_is_at_generation_zero(self, stores: Stores) -> None:
        assert [await store.get(KEY) for store in stores] == [FenceRow(), FenceRow()]

    async def test_a_row_is_read_back_whole_by_others(self, stores: Stores) -> None:
        row = FenceRow(1, 1_000_000_007, {"stable": 99.99, "canary": 0.01}, ("one", "two"), 7)
        assert await stores[0].put(KEY, row)
        assert await stores[1].get(KEY) == row

    async def test_only_the_next_revision_is_written(self, stores: Stores) -> None:
        assert await stores[0].put(KEY, FenceRow(1, 1, TENTH))
        for revision in (1, 3):
            assert not await stores[1].put(KEY, FenceRow(revision, 9, HALF))
        assert await stores[1].put(KEY, FenceRow(2, 2, HALF))
        assert (await stores[0].get(KEY)).generation == 2

    async def test_of_many_who_write_one_revision_one_succeeds(self, stores: Stores) -> None:
        for revision in range(1, 6):
            rows = [FenceRow(revision, writer) for writer in range(8)]
            wrote = await asyncio.gather(*(stores[row.generation % 2].put(KEY, row) for row in rows))
            assert sum(wrote) == 1
            assert (await stores[0].get(KEY)).generation == wrote.index(True)

    async def test_keys_do_not_mix(self, stores: Stores) -> None:
        assert await stores[0].put(KEY, FenceRow(1, 5))
        assert (await stores[0].get(f"{KEY}x")).generation == 0
        assert (await stores[0].get(KEY.upper())).generation == 0

    async def test_the_fence_is_up_before_the_plane_is_changed(self, stores: Stores) -> None:
        async with Fences(stores[0]).raised(KEY, 3, TENTH):
            row = await Fences(stores[1]).read(KEY)
            assert (row.generation, fits(row, {**TENTH, "other": 0.0})) == (3, True)
            with pytest.raises(StaleGeneration, match="newer than 2"):
                async with Fences(stores[1]).raised(KEY, 2, TENTH):
                    pass

    @pytest.mark.parametrize(("generation", "weights", "word"), [(6, TENTH, "7"), (7, HALF, "other weights")])
    async def test_an_older_write_is_stale(
        self, stores: Stores, generation: int, weights: dict[str, float], word: str
    ) -> None:
        async with Fences(stores[0]).raised(KEY, 7, TENTH):
            pass
        with pytest.raises(StaleGeneration, match=word):
            async with Fences(stores[1]).raised(KEY, generation, weights):
                pass

    async def test_a_repeat_waits_for_nobody(self, stores: Stores) -> None:
        async with Fences(stores[0]).raised(KEY, 1, TENTH), Fences(stores[1]).raised(KEY, 1, TENTH) as again:
            assert await again.write(_done) == "done"

    async def test_a_newer_write_waits_for_all_repeats_of_the_older(self, stores: Stores) -> None:
        older, newer = Fences(stores[0]), Fences(stores[1])
        async with older.raised(KEY, 1, TENTH) as first:
            async with older.raised(KEY, 1, TENTH):
                pass
            waiting = asyncio.create_task(_raise_and_leave(newer))
            assert await first.write(_done) == "done"
            while (await stores[0].get(KEY)).generation < 2:
                await asyncio.sleep(0.001)
            assert not waiting.done()
        await waiting

    async def test_a_newer_write_waits_until_the_older_one_is_done(self, stores: Stores) -> None:
        order: list[str] = []

        async def newer() -> None:
            async with Fences(stores[1]).raised(KEY, 2, HALF):
                order.append("newer")

        async with Fences(stores[0]).raised(KEY, 1, TENTH) as held:
            waiting = asyncio.create_task(newer())
            while (await stores[0].get(KEY)).generation < 2:
                await asyncio.sleep(0.001)
            # The fence is up already: the older one hears of it at its next look.
            with pytest.raises(StaleGeneration):
                await held.write(_done)
            order.append("older")
        await waiting
        assert order == ["older", "newer"]

    async def test_one_that_died_is_waited_for_no_longer_than_a_lease(self, stores: Stores) -> None:
        assert await stores[0].put(KEY, FenceRow(1, 1, TENTH, ("dead",), 1))
        async with Fences(stores[1], lease=1.0).raised(KEY, 2, HALF) as held:
            assert await held.write(_done) == "done"

    async def test_one_that_held_on_for_too_long_writes_no_more(self, stores: Stores) -> None:
        async with Fences(stores[0], lease=0).raised(KEY, 1, TENTH) as held:
            await asyncio.sleep(0.001)
            with pytest.raises(RouteUnconfirmed, match="too long"):
                await held.write(_done)

    async def test_what_is_there_after_a_refusal_is_kept_under_the_refused_generation(self, stores: Stores) -> None:
        async with Fences(stores[0]).raised(KEY, 4, HALF) as held:
            await held.record(TENTH)
        row = await stores[1].get(KEY)
        assert (row.generation, row.weights, row.holders) == (4, TENTH, ())

    async def test_a_cancelled_write_is_ended_before_the_next_begins(self, stores: Stores) -> None:
        order: list[str] = []
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slowly() -> None:
            begun.set()
            await go_on.wait()
            order.append("first")

        async def write() -> None:
            async with Fences(stores[0]).raised(KEY, 1, TENTH) as held:
                await held.write(slowly)

        async def next_one() -> None:
            async with Fences(stores[1]).raised(KEY, 2, HALF):
                order.append("next")

        first = asyncio.create_task(write())
        await begun.wait()
        first.cancel()
        second = asyncio.create_task(next_one())
        while (await stores[0].get(KEY)).generation < 2:
            await asyncio.sleep(0.001)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        await second
        assert order == ["first", "next"]

    async def test_one_that_is_cancelled_at_any_moment_lets_go(self, stores: Stores) -> None:
        for number in range(1, 30):
            taking = asyncio.create_task(_raise_and_leave(Fences(stores[0]), number))
            await asyncio.sleep(number / 10_000)
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            assert (await stores[1].get(KEY)).holders == ()

    async def test_a_failed_write_lets_go(self, stores: Stores) -> None:
        with pytest.raises(ZeroDivisionError):
            async with Fences(stores[0]).raised(KEY, 1, TENTH):
                raise ZeroDivisionError
        assert (await stores[1].get(KEY)).holders == ()


async def _raise_and_leave(fences: Fences, generation: int = 2) -> None:
    async with fences.raised(KEY, generation, HALF):
        pass


async def _done() -> str:
    return "done"
