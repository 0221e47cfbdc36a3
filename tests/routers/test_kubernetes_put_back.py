"""Rules that a controller refused are put back, but never over what somebody else has written meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from activities.routers.kubernetes_api import GENERATION
from activities.routers.kubernetes_objects import Observer, settled
from coalmine.errors import RouteRejected
from coalmine.testing.fake_kubernetes import FakeKubernetes
from coalmine.testing.router_world import split
from tests.routers.kubernetes_worlds import NAMESPACE, GatewayWorld

Seen = tuple[dict[str, Any], list[Observer]]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with FakeKubernetes() as cluster:
        world = GatewayWorld(cluster, tmp_path)
        yield world
        await world.aclose()


def after_the_refusal(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Let something happen between the controller's refusal and what is done about it."""

    async def then_act(look: Callable[[], Awaitable[Seen]]) -> Seen:
        seen = await settled(look)
        act()
        return seen

    monkeypatch.setattr("activities.routers.kubernetes_weights.settled", then_act)


def route_of(world: GatewayWorld) -> dict[str, Any]:
    return world.cluster.get("HTTPRoute", world.route.name, NAMESPACE)


async def test_the_old_rules_come_back_under_the_generation(world: GatewayWorld) -> None:
    before = route_of(world)["spec"]
    world.refuse_next()
    with pytest.raises(RouteRejected, match="It is as it was before, under generation 3"):
        await world.workers[0].apply(world.route, await split(world, 50), 3)
    found = route_of(world)
    assert (found["spec"], found["metadata"]["annotations"][GENERATION]) == (before, "3")


async def test_rules_that_somebody_has_changed_since_stay(world: GatewayWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def change() -> None:
        found = route_of(world)
        found["spec"]["hostnames"] = ["other.example.org"]
        world.cluster.put(found)

    after_the_refusal(monkeypatch, change)
    world.refuse_next()
    with pytest.raises(RouteRejected, match="Somebody has changed it since: it stays as it is"):
        await world.workers[0].apply(world.route, await split(world, 50), 3)
    found = route_of(world)
    assert found["spec"]["hostnames"] == ["other.example.org"]
    assert found["metadata"]["annotations"][GENERATION] == "3"


async def test_a_newer_generation_that_says_the_same_stays(
    world: GatewayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_the_fence() -> None:
        found = route_of(world)
        found["metadata"]["annotations"][GENERATION] = "4"
        world.cluster.put(found)

    after_the_refusal(monkeypatch, raise_the_fence)
    world.refuse_next()
    wanted = await split(world, 50)
    with pytest.raises(RouteRejected, match="Somebody has written a newer generation since: it stays as it is"):
        await world.workers[0].apply(world.route, wanted, 3)
    found = route_of(world)
    assert found["metadata"]["annotations"][GENERATION] == "4"
    assert {ref["weight"] for ref in found["spec"]["rules"][1]["backendRefs"]} == {50}
