"""Cases of the router contract: what is written is absolute, validated, read back, and nobody else's."""

from __future__ import annotations

import math

import pytest

from coalmine.errors import RouteRejected
from coalmine.records import RouteState, Weights
from coalmine.testing.router_world import (
    LACKS,
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


class WritingCases:
    """Tests; each takes the fixture ``world``."""

    async def test_a_route_nobody_has_written_is_at_generation_zero(self, world: RouterWorld) -> None:
        for worker in (0, 1):
            state = await state_of(world, worker)
            assert state.generation == 0
            assert live(state.weights) == live(back(world))
            assert [proxy.proxy for proxy in state.proxies] == list(world.proxies)
            assert all(proxy.ok and live(proxy.weights) == live(back(world)) for proxy in state.proxies)

    async def test_what_was_written_is_confirmed_and_read_back_from_every_proxy(self, world: RouterWorld) -> None:
        tenth = await split(world, 10)
        written = await world.workers[0].apply(world.route, tenth, 1)
        assert (live(written.weights), written.generation) == (tenth, 1)
        _shown_by_all(world, written, tenth, 1)
        answer = await confirmed(world, 1)
        assert all(proxy.generation == 1 for proxy in answer.proxies)
        state = await state_of(world, worker=1)
        assert (live(state.weights), state.generation) == (tenth, 1)
        assert [live(proxy.weights) for proxy in state.proxies] == [tenth] * len(world.proxies)
        again = await world.workers[1].apply(world.route, tenth, 1)
        # A repeat that writes nothing need not ask the proxies; what it says of them is so.
        if again.proxies:
            _shown_by_all(world, again, tenth, 1)
        assert all(proxy.ok for proxy in again.proxies)

    async def test_there_and_back_again(self, world: RouterWorld) -> None:
        stable, canary = world.backends.arms
        steps = [await split(world, percent) for percent in (0, 100 / 3)]
        steps += [{stable: 0.0, canary: 100.0}, await split(world, 100), back(world)]
        for generation, weights in enumerate(steps, 1):
            await world.workers[0].apply(world.route, weights, generation)
            await confirmed(world, generation)
            read = (await state_of(world)).weights
            # A plane may know others, which have nothing.
            assert read == {**dict.fromkeys(read, 0.0), **weights}

    async def test_weights_are_absolute(self, world: RouterWorld) -> None:
        """What was there before, and the order of names, change nothing."""
        await world.workers[0].apply(world.route, await split(world, 90), 1)
        tenth = await split(world, 10)
        await world.workers[0].apply(world.route, dict(reversed(tenth.items())), 2)
        await confirmed(world, 2)
        assert await shown(world) == tenth

    async def test_a_backend_that_is_not_named_gets_nothing(self, world: RouterWorld) -> None:
        await world.workers[0].apply(world.route, await split(world, 50), 1)
        await world.workers[0].apply(world.route, {world.backends.stable: 100.0}, 2)
        await confirmed(world, 2)
        assert await shown(world) == live(back(world))

    @pytest.mark.parametrize(
        ("wrong", "word"),
        [
            ({}, "no weights"),
            ({"stable": 0.0, "canary": 0.0}, "zero"),
            ({"stable": 120.0, "canary": -20.0}, "negative"),
            ({"stable": math.nan, "canary": 20.0}, "number"),
            ({"stable": math.inf, "canary": 20.0}, "number"),
            ({"stable": 60.0, "canary": 20.0}, "sum"),
            ({"stable": 80.0, "": 20.0}, "name"),
        ],
    )
    async def test_wrong_weights_are_refused_before_anything_is_written(
        self, world: RouterWorld, wrong: dict[str, float], word: str
    ) -> None:
        weights = {getattr(world.backends, arm) if arm else "": weight for arm, weight in wrong.items()}
        with pytest.raises(RouteRejected, match=word):
            await world.workers[0].apply(world.route, weights, 1)
        await _untouched(world)

    async def test_a_weight_finer_than_the_router_can_do_is_refused(self, world: RouterWorld) -> None:
        fine = (await able(world)).granularity / 10
        weights = {world.backends.stable: 100 - fine, world.backends.canary: fine}
        with pytest.raises(RouteRejected, match="finer"):
            await world.workers[0].apply(world.route, weights, 1)
        await _untouched(world)

    async def test_an_unknown_backend_is_refused(self, world: RouterWorld) -> None:
        unknown = world.backends.unknown
        with pytest.raises(RouteRejected) as refused:
            await world.workers[0].apply(world.route, await split(world, 10, unknown), 1)
        assert unknown in str(refused.value)
        await _untouched(world)

    async def test_a_backend_without_a_healthy_endpoint_is_refused(self, world: RouterWorld) -> None:
        need(world, "endpoints")
        with pytest.raises(RouteRejected, match="healthy"):
            await world.workers[0].apply(world.route, await split(world, 10, world.backends.dead), 1)
        await _untouched(world)

    @pytest.mark.parametrize("generation", [0, -1])
    async def test_generations_count_from_one(self, world: RouterWorld, generation: int) -> None:
        with pytest.raises(RouteRejected, match="from 1"):
            await world.workers[0].apply(world.route, await split(world, 10), generation)
        await _untouched(world)

    async def test_the_snapshot_is_restored_and_nothing_beside_it_was_touched(self, world: RouterWorld) -> None:
        snapshot, beside = await state_of(world), await world.foreign()
        for generation, percent in enumerate((1, 50), 1):
            await world.workers[0].apply(world.route, await split(world, percent), generation)
            await confirmed(world, generation)
            assert await world.foreign() == beside
        await world.workers[1].apply(world.route, snapshot.weights, 3, restoring=True)
        await confirmed(world, 3)
        assert await shown(world) == live(snapshot.weights)
        assert await world.foreign() == beside

    async def test_two_routes_of_one_plane_leave_each_other_alone(self, world: RouterWorld) -> None:
        need(world, "second route")
        router, second = world.workers[0], world.second
        await router.apply(world.route, await split(world, 50), 7)
        state = await state_of(world, route=second)
        assert (live(state.weights), state.generation) == (live(back(world)), 0)
        await router.apply(second, await split(world, 10), 1)
        await confirmed(world, 7)
        await confirmed(world, 1, second)
        assert await shown(world) == await split(world, 50)
        assert await shown(world, second) == await split(world, 10)
        await router.apply(world.route, back(world), 8)
        assert await shown(world, second) == await split(world, 10)

    async def test_what_an_outsider_wrote_is_read_as_it_is_and_written_over(self, world: RouterWorld) -> None:
        await world.workers[0].apply(world.route, await split(world, 10), 1)
        await confirmed(world, 1)
        await world.meddle(await split(world, 50))
        state = await state_of(world)
        assert live(state.weights) == await split(world, 50)
        generation = max(state.generation, 1) + 1
        await world.workers[0].apply(world.route, await split(world, 10), generation)
        await confirmed(world, generation)
        assert await shown(world) == await split(world, 10)

    async def test_a_sound_route_passes_every_check(self, world: RouterWorld) -> None:
        step = (await able(world)).granularity
        checks = await world.workers[0].check(world.route, world.backends.arms, [step, 100 - step, 100])
        assert checks
        assert [check for check in checks if not check.ok] == []
        assert all(check.name and check.reason for check in checks)

    async def test_an_unknown_backend_fails_the_check(self, world: RouterWorld) -> None:
        assert world.backends.unknown in await _failures(world, world.backends.unknown, 20)

    async def test_a_backend_without_a_healthy_endpoint_fails_the_check(self, world: RouterWorld) -> None:
        need(world, "endpoints")
        assert "healthy" in await _failures(world, world.backends.dead, 20)

    async def test_too_fine_a_step_fails_the_check(self, world: RouterWorld) -> None:
        fine = (await able(world)).granularity / 10
        assert "finer" in await _failures(world, world.backends.canary, fine)

    async def test_a_route_that_is_not_there_is_refused_and_named(self, world: RouterWorld) -> None:
        need(world, "missing route")
        checks = await world.workers[0].check(world.missing, world.backends.arms, [20])
        assert not all(check.ok for check in checks)
        with pytest.raises(RouteRejected):
            await state_of(world, route=world.missing)
        with pytest.raises(RouteRejected):
            await world.workers[0].apply(world.missing, await split(world, 20), 1)

    async def test_an_unknown_key_of_the_route_is_named(self, world: RouterWorld) -> None:
        need(world, "options")
        wrong = world.route.model_validate({**world.route.model_dump(), "colour": "red"})
        with pytest.raises(RouteRejected, match=r"route\.colour"):
            await state_of(world, route=wrong)

    async def test_capabilities_are_told(self, world: RouterWorld) -> None:
        told = await able(world)
        assert 0 < told.granularity <= 20
        assert round(100 / told.granularity, 6) == round(100 / told.granularity)
        assert (told.lease > 0) == (told.fencing == "advisory")
        assert told.tested_against

    async def test_a_route_can_do_no_more_than_its_router(self, world: RouterWorld) -> None:
        most, here = world.workers[0].able, await able(world)
        for flag in ("confirm", "header_match", "cookie_match", "mirror", "stickiness"):
            assert getattr(most, flag) or not getattr(here, flag), flag
        assert here.granularity >= most.granularity
        assert here.fencing == most.fencing or here.fencing == "advisory"

    async def test_what_the_plane_lacks_is_said_with_a_reason(self, world: RouterWorld) -> None:
        assert set(world.lacks) <= set(LACKS)
        assert all(reason.strip() for reason in world.lacks.values())

    async def test_no_case_is_replaced_by_one_of_the_adapters_own(self, world: RouterWorld) -> None:
        """What a plane cannot have is said in ``lacks``, and only there."""
        kinds = type(self).__mro__
        cases = {name for kind in kinds if _of_the_contract(kind) for name in vars(kind) if name.startswith("test_")}
        replaced = {name for kind in kinds if not _of_the_contract(kind) for name in vars(kind) if name in cases}
        assert not replaced


def _of_the_contract(kind: type) -> bool:
    return kind.__module__.startswith("coalmine.testing.")


def _shown_by_all(world: RouterWorld, written: RouteState, weights: Weights, generation: int) -> None:
    """What ``apply`` says of every proxy: that it shows what was written, or why it does not yet."""
    named = sorted(proxy.proxy for proxy in written.proxies)
    # Where nobody tells of a proxy the place itself may be named.
    assert named == sorted(world.proxies) or not world.proxies
    for proxy in written.proxies:
        assert proxy.detail if not proxy.ok else (live(proxy.weights), proxy.generation) == (weights, generation), proxy


async def _untouched(world: RouterWorld) -> None:
    state = await state_of(world)
    assert (live(state.weights), state.generation) == (live(back(world)), 0)


async def _failures(world: RouterWorld, backend: str, weight: float) -> str:
    checks = await world.workers[0].check(world.route, [world.backends.stable, backend], [weight])
    await _untouched(world)
    return "; ".join(check.reason for check in checks if not check.ok)
