"""What a test can make the fake router do, beyond the contract."""

from __future__ import annotations

from contextlib import suppress

import pytest

from coalmine.errors import RouteRejected, RouterUnreachable, StaleGeneration
from coalmine.spec.canary import Route
from coalmine.testing.fake_router import FakeRouter
from tests.routers.doctor import write_line
from tests.routers.fake_world import FakeWorld

ROUTE = Route(router="fake", name="shop")
FIRST = {"stable": 100.0, "canary": 0.0}
TENTH = {"stable": 90.0, "canary": 10.0}


@pytest.fixture
def router() -> FakeRouter:
    ticks = iter(range(1_000))
    return FakeRouter(FIRST, proxies=["a", "b"], clock=lambda: float(next(ticks)))


async def test_every_attempt_is_written_down_with_its_time(router: FakeRouter) -> None:
    router.reject_next()
    for weights, generation in ((TENTH, 2), (TENTH, 3), (TENTH, 3), (FIRST, 1), ({"stable": 50.0}, 4)):
        with suppress(RouteRejected, StaleGeneration):
            await router.apply(ROUTE, weights, generation)
    assert [(write.at, write.generation, write.result) for write in router.log] == [
        (0, 2, "refused"), (1, 3, "written"), (2, 3, "kept"), (3, 1, "stale"), (4, 4, "invalid"),
    ]  # fmt: skip
    assert router.shown("shop") == {"a": TENTH, "b": TENTH}


async def test_it_can_be_unreachable_for_some_calls(router: FakeRouter) -> None:
    router.be_unreachable(2)
    for _ in range(2):
        with pytest.raises(RouterUnreachable):
            await router.apply(ROUTE, TENTH, 1)
    await router.apply(ROUTE, TENTH, 1)
    assert len(router.log) == 1


async def test_a_proxy_can_lag(router: FakeRouter) -> None:
    router.lag(2, "b", "shop")
    await router.apply(ROUTE, TENTH, 1)
    assert router.shown("shop") == {"a": TENTH, "b": FIRST}
    answers = [(await router.confirm(ROUTE, 1)).answer for _ in range(3)]
    assert answers == ["no", "no", "yes"]
    assert router.shown("shop") == {"a": TENTH, "b": TENTH}


async def test_somebody_else_can_overtake(router: FakeRouter) -> None:
    await router.apply(ROUTE, TENTH, 1)
    router.overtake("shop", FIRST, 9)
    answer = await router.confirm(ROUTE, 1)
    assert answer.answer == "no"
    assert [proxy.generation for proxy in answer.proxies] == [9, 9]
    with pytest.raises(StaleGeneration):
        await router.apply(ROUTE, TENTH, 2)


async def test_routes_are_apart(router: FakeRouter) -> None:
    await router.apply(ROUTE, TENTH, 5)
    assert (await router.read(Route(router="fake", name="store"))).generation == 0


async def test_doctor_says_of_a_router_that_rehearses_nothing_that_nothing_was_rehearsed(fake_world: FakeWorld) -> None:
    ok, _, told = await write_line(fake_world, "fake")
    assert ok
    assert "it was not rehearsed" in told
