"""The contract, kept by every router of Kubernetes, over real HTTP against an API server of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coalmine.errors import RouteRejected, StaleGeneration
from coalmine.testing.fake_kubernetes import FakeKubernetes
from coalmine.testing.router_contract import RouterContract
from coalmine.testing.router_trouble import TroubleCases
from coalmine.testing.router_world import back, confirmed, live, shown, split
from tests.routers.kubernetes_worlds import (
    NAMESPACE,
    DeniedGatewayWorld,
    GatewayWorld,
    IstioWorld,
    KubernetesWorld,
    ReplicasWorld,
    SilentIstioWorld,
)


@pytest.fixture
async def cluster() -> AsyncIterator[FakeKubernetes]:
    async with FakeKubernetes() as cluster:
        yield cluster


async def ended(world: KubernetesWorld) -> AsyncIterator[KubernetesWorld]:
    try:
        yield world
    finally:
        await world.aclose()


class TestGateway(RouterContract):
    @pytest.fixture
    async def world(self, cluster: FakeKubernetes, tmp_path: Path) -> AsyncIterator[KubernetesWorld]:
        async for world in ended(GatewayWorld(cluster, tmp_path)):
            yield world


class TestGatewayWithAWebhook(TroubleCases):
    @pytest.fixture
    async def world(self, cluster: FakeKubernetes, tmp_path: Path) -> AsyncIterator[KubernetesWorld]:
        async for world in ended(DeniedGatewayWorld(cluster, tmp_path)):
            yield world


class TestIstio(RouterContract):
    @pytest.fixture
    async def world(self, cluster: FakeKubernetes, tmp_path: Path) -> AsyncIterator[KubernetesWorld]:
        async for world in ended(IstioWorld(cluster, tmp_path)):
            yield world


class TestIstioWithoutStatus(TroubleCases):
    @pytest.fixture
    async def world(self, cluster: FakeKubernetes, tmp_path: Path) -> AsyncIterator[KubernetesWorld]:
        async for world in ended(SilentIstioWorld(cluster, tmp_path, istiod_status=False)):
            yield world


@pytest.mark.parametrize("kind", [GatewayWorld, IstioWorld])
async def test_a_route_that_somebody_gave_to_nobody_is_named_and_restored(
    cluster: FakeKubernetes, tmp_path: Path, kind: type[GatewayWorld] | type[IstioWorld]
) -> None:
    async for world in ended(kind(cluster, tmp_path)):
        router, arms = world.workers[1], world.backends.arms
        await router.apply(world.route, await split(world, 50), 1)
        await confirmed(world, 1)
        found = cluster.get(world.kind, world.route.name, NAMESPACE)
        for rule in found["spec"].get("rules") or found["spec"]["http"]:
            for ref in rule.get("backendRefs") or rule.get("route") or []:
                if "weight" in ref:
                    ref["weight"] = 0
        cluster.put(found)
        checks = await router.check(world.route, arms, [10])
        assert "all weights are zero" in "; ".join(check.reason for check in checks if not check.ok)
        with pytest.raises(RouteRejected, match=r"route 2|rule 2.*all weights are zero"):
            await router.read(world.route, arms)
        with pytest.raises(StaleGeneration):
            await router.apply(world.route, back(world), 1, restoring=True)
        await router.apply(world.route, back(world), 2, restoring=True)
        await confirmed(world, 2)
        assert await shown(world) == live(back(world))


class TestReplicas(RouterContract):
    @pytest.fixture
    async def world(self, cluster: FakeKubernetes, tmp_path: Path) -> AsyncIterator[KubernetesWorld]:
        async for world in ended(ReplicasWorld(cluster, tmp_path)):
            yield world
