"""The activities on the route, over a fake router and Temporal's activity environment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import traffic
from activities.failures import as_application_error
from activities.routers.registry import Routers
from activities.traffic import TrafficActivities
from coalmine.errors import RouterUnreachable, StaleGeneration
from coalmine.records import RouteCheckRequest, RouteRequest, RouteState, ShiftRequest, Weights
from coalmine.spec.canary import Arm, Arms, Route
from coalmine.testing.fake_router import FakeRouter

ROUTE = Route(router="fake", name="shop")
FIRST = {"stable": 100.0, "canary": 0.0}
TENTH = {"stable": 90.0, "canary": 10.0}
ARMS = Arms(baseline=Arm(version="1", backend="stable"), canary=Arm(version="2", backend="canary"))


@pytest.fixture
def router() -> FakeRouter:
    return FakeRouter(FIRST)


@pytest.fixture
def activities(router: FakeRouter) -> TrafficActivities:
    return TrafficActivities(Routers({"fake": lambda: router}))


@pytest.fixture
def beats() -> list[Any]:
    return []


@pytest.fixture
def environment(beats: list[Any]) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(details[0])
    return environment


def request(weights: Weights = TENTH, generation: int = 1, within: float = 5, router: str = "fake") -> ShiftRequest:
    return ShiftRequest(
        weights=weights,
        generation=generation,
        route=ROUTE.model_copy(update={"router": router}),
        confirm_within=timedelta(seconds=within),
    )


async def refused(run: Callable[[], Any]) -> ApplicationError:
    with pytest.raises(ApplicationError) as raised:
        await run()
    return raised.value


async def test_a_shift_returns_what_every_proxy_shows(
    activities: TrafficActivities, environment: ActivityEnvironment, beats: list[Any]
) -> None:
    state: RouteState = await environment.run(activities.shift, request())
    assert (state.weights, state.generation) == (TENTH, 1)
    assert [(proxy.ok, proxy.generation, proxy.weights) for proxy in state.proxies] == [(True, 1, TENTH)] * 3
    read = await environment.run(activities.read_route, RouteRequest(route=ROUTE, backends=["stable", "canary"]))
    assert (read.weights, read.generation) == (TENTH, 1)
    assert beats[0] == {"weights": TENTH, "confirmed": "not written"}


async def test_a_shift_waits_for_a_proxy_that_lags_and_beats_meanwhile(
    router: FakeRouter,
    activities: TrafficActivities,
    environment: ActivityEnvironment,
    beats: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traffic, "BEAT", 0.001)
    router.lag(4, "proxy-2", "shop")
    await environment.run(activities.shift, request())
    assert router.shown("shop")["proxy-2"] == TENTH
    assert "2/3" in {beat["confirmed"] for beat in beats}


async def test_a_shift_that_is_not_confirmed_names_the_proxy_and_may_be_tried_again(
    router: FakeRouter, activities: TrafficActivities, environment: ActivityEnvironment
) -> None:
    router.take_down("proxy-3")
    error = await refused(lambda: environment.run(activities.shift, request(within=0.02)))
    assert (error.type, error.non_retryable) == ("RouteUnconfirmed", False)
    assert "2/3" in str(error)
    assert "proxy-3" in str(error)
    router.bring_up("proxy-3")
    state = await environment.run(activities.shift, request())
    assert all(proxy.ok for proxy in state.proxies)


async def test_a_newer_write_meanwhile_makes_the_shift_stale(
    router: FakeRouter, activities: TrafficActivities, environment: ActivityEnvironment
) -> None:
    router.lag(1_000, "proxy-1", "shop")
    shift = asyncio.ensure_future(environment.run(activities.shift, request()))
    while not router.log:
        await asyncio.sleep(0)
    router.overtake("shop", FIRST, 7)
    error = await refused(lambda: shift)
    assert (error.type, error.non_retryable) == ("StaleGeneration", True)


@pytest.mark.parametrize(
    ("shift", "kind", "final"),
    [
        (request(generation=3), "StaleGeneration", True),
        (request({"stable": 50.0}, 9), "RouteRejected", True),
        (request({"stable": 90.0, "ghost": 10.0}, 9), "RouteRejected", True),
        (request(router="enovy"), "UnknownAdapter", True),
    ],
)
async def test_errors_say_their_class_and_whether_trying_again_helps(
    router: FakeRouter,
    activities: TrafficActivities,
    environment: ActivityEnvironment,
    shift: ShiftRequest,
    kind: str,
    final: bool,
) -> None:
    router.overtake("shop", FIRST, 5)
    error = await refused(lambda: environment.run(activities.shift, shift))
    assert (error.type, error.non_retryable) == (kind, final)


async def test_a_data_plane_that_does_not_answer_may_be_asked_again(
    router: FakeRouter, activities: TrafficActivities, environment: ActivityEnvironment
) -> None:
    router.be_unreachable(1)
    error = await refused(lambda: environment.run(activities.read_route, RouteRequest(route=ROUTE)))
    assert (error.type, error.non_retryable) == ("RouterUnreachable", False)


async def test_a_cancelled_shift_ends_at_once(
    router: FakeRouter, activities: TrafficActivities, environment: ActivityEnvironment
) -> None:
    router.lag(10**6, "proxy-1", "shop")
    shift = asyncio.ensure_future(environment.run(activities.shift, request(within=3_600)))
    while not router.log:
        await asyncio.sleep(0)
    shift.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shift


async def test_a_check_is_an_answer_not_an_error(
    router: FakeRouter, activities: TrafficActivities, environment: ActivityEnvironment
) -> None:
    asked = RouteCheckRequest(route=ROUTE, arms=ARMS, weights=[1, 10, 100])
    assert all(check.ok for check in (await environment.run(activities.check_route, asked)).checks)
    router.end_endpoints("canary")
    wrong = [check for check in (await environment.run(activities.check_route, asked)).checks if not check.ok]
    assert "canary" in wrong[0].reason


@pytest.mark.parametrize(("error", "final"), [(StaleGeneration("old"), True), (RouterUnreachable("who?"), False)])
def test_errors_keep_their_text(error: StaleGeneration | RouterUnreachable, final: bool) -> None:
    told = as_application_error(error)
    assert (told.message, told.type, told.non_retryable) == (str(error), type(error).__name__, final)
