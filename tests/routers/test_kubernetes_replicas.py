"""Two Deployments without a mesh: the old pods stay until the new ones are ready, and nobody else may scale them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.routers import kubernetes_pods
from coalmine.errors import RouterUnreachable, RouteUnconfirmed, StaleGeneration
from coalmine.testing.fake_kubernetes import FakeKubernetes
from coalmine.testing.router_contract import CANARY, STABLE
from coalmine.testing.router_world import back, confirmed
from tests.routers.kubernetes_worlds import NAMESPACE, ReplicasWorld

HALF = {STABLE: 50.0, CANARY: 50.0}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ReplicasWorld]:
    async with FakeKubernetes() as cluster:
        world = ReplicasWorld(cluster, tmp_path)
        yield world
        await world.aclose()


def pods(world: ReplicasWorld) -> tuple[int, int]:
    """How many stable and canary are to have."""
    stable, canary = (world.cluster.get("Deployment", name, NAMESPACE)["spec"]["replicas"] for name in (STABLE, CANARY))
    return stable, canary


def all_ready(world: ReplicasWorld) -> None:
    world.controller.unready.clear()
    world.controller.look()


async def test_the_old_pods_stay_until_the_new_ones_are_ready(world: ReplicasWorld) -> None:
    world.controller.unready[CANARY] = 1
    write = asyncio.create_task(world.workers[0].apply(world.route, HALF, 1))
    while pods(world) == (20, 0):
        await asyncio.sleep(0.01)
    # Some looks of the writer's later it has not gone on.
    looks = len(world.cluster.asked) + 10
    while len(world.cluster.asked) < looks and not write.done():
        await asyncio.sleep(0.01)
    assert pods(world) == (20, 10)
    assert not write.done()
    all_ready(world)
    await write
    assert pods(world) == (10, 10)


async def test_who_waited_for_pods_while_a_newer_write_went_through_scales_nothing_more(world: ReplicasWorld) -> None:
    world.controller.unready[CANARY] = 1
    older = asyncio.create_task(world.workers[0].apply(world.route, HALF, 1))
    while pods(world) == (20, 0):
        await asyncio.sleep(0.01)
    await world.workers[1].apply(world.route, {STABLE: 100.0, CANARY: 0.0}, 2)
    assert pods(world) == (20, 0)
    all_ready(world)
    with pytest.raises(StaleGeneration):
        await older
    assert pods(world) == (20, 0)


async def test_pods_that_are_late_are_told_and_a_repeat_goes_on_from_there(
    world: ReplicasWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_pods, "READY_WITHIN", 0.1)
    world.controller.unready[CANARY] = 3
    late = rf"Deployment '{CANARY}': 7 of 10 pods are ready.*the other Deployment keeps its pods"
    for _ in range(2):
        with pytest.raises(RouteUnconfirmed, match=late):
            await world.workers[0].apply(world.route, HALF, 1)
        assert pods(world) == (20, 10)
    all_ready(world)
    await world.workers[1].apply(world.route, HALF, 1)
    assert pods(world) == (10, 10)
    await confirmed(world, 1)


async def test_the_way_back_is_not_kept_by_pods_that_are_not_ready(
    world: ReplicasWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be waiting for the very room that the canary leaves."""
    await world.workers[0].apply(world.route, HALF, 1)
    monkeypatch.setattr(kubernetes_pods, "OBSERVED_WITHIN", 0.5)
    monkeypatch.setattr(kubernetes_pods, "READY_WITHIN", 1.0)
    world.controller.unready[STABLE] = 5
    with pytest.raises(RouteUnconfirmed):
        await world.workers[0].apply(world.route, back(world), 2)
    assert pods(world) == (20, 10)
    await world.workers[0].apply(world.route, back(world), 3, restoring=True)
    assert pods(world) == (20, 0)


async def test_an_api_server_that_is_lost_before_the_fence_is_up_is_unreachable(world: ReplicasWorld) -> None:
    world.cluster.fail_next("Service")
    with pytest.raises(RouterUnreachable, match="503"):
        await world.workers[0].apply(world.route, HALF, 1)
    assert pods(world) == (20, 0)


@pytest.mark.parametrize("arm", [STABLE, CANARY])
async def test_an_autoscaler_of_an_arm_is_refused_by_the_checks(world: ReplicasWorld, arm: str) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": arm}
    world.cluster.add("HorizontalPodAutoscaler", "by-load", NAMESPACE, spec={"scaleTargetRef": target})
    checks = await world.workers[0].check(world.route, [STABLE, CANARY], [50])
    (wrong,) = [check.reason for check in checks if not check.ok]
    assert f"autoscaler 'by-load' sets the pods of {arm!r}: remove it for the rollout" in wrong


async def test_autoscalers_of_others_are_none_of_ours(world: ReplicasWorld) -> None:
    for kind, name in (("Deployment", "stranger"), ("StatefulSet", CANARY)):
        target = {"apiVersion": "apps/v1", "kind": kind, "name": name}
        world.cluster.add("HorizontalPodAutoscaler", f"{name}-load", NAMESPACE, spec={"scaleTargetRef": target})
    checks = await world.workers[0].check(world.route, [STABLE, CANARY], [50])
    assert [check for check in checks if not check.ok] == []
