"""The contract, kept by every router of Kubernetes, over real HTTP against an API server of our own."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.routers.kubernetes_api import GENERATION
from activities.routers.kubernetes_objects import WEIGHTS
from coalmine.errors import RouteRejected, StaleGeneration
from coalmine.testing.fake_kubernetes import FakeKubernetes
from coalmine.testing.router_contract import RouterContract
from coalmine.testing.router_trouble import TroubleCases
from coalmine.testing.router_world import back, confirmed, live, shown, split
from tests.routers.doctor import write_line
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


@pytest.mark.parametrize("kind", [GatewayWorld, IstioWorld])
async def test_weights_that_an_older_build_left_in_the_annotation_are_not_compared(
    cluster: FakeKubernetes, tmp_path: Path, kind: type[GatewayWorld] | type[IstioWorld]
) -> None:
    async for world in ended(kind(cluster, tmp_path)):
        await world.workers[0].apply(world.route, await split(world, 10), 1)
        await world.meddle(await split(world, 50))
        found = cluster.get(world.kind, world.route.name, NAMESPACE)
        assert found["metadata"]["annotations"][WEIGHTS].startswith("1:")
        found["metadata"]["annotations"][GENERATION] = "2"
        cluster.put(found)
        assert (await confirmed(world, 2)).answer == "yes"


async def test_where_nobody_tells_of_proxies_changed_weights_are_told_all_the_same(
    cluster: FakeKubernetes, tmp_path: Path
) -> None:
    async for world in ended(SilentIstioWorld(cluster, tmp_path, istiod_status=False)):
        await world.workers[0].apply(world.route, await split(world, 10), 1)
        await world.meddle(await split(world, 50))
        answer = await world.workers[1].confirm(world.route, 1, world.backends.arms)
        assert answer.answer == "no"
        assert "carries generation 1 with other weights than were written" in answer.reason


class TestReplicas(RouterContract):
    @pytest.fixture
    async def world(self, cluster: FakeKubernetes, tmp_path: Path) -> AsyncIterator[KubernetesWorld]:
        async for world in ended(ReplicasWorld(cluster, tmp_path)):
            yield world


@pytest.mark.parametrize(
    ("kind", "first", "others", "word"),
    [
        (GatewayWorld, (1, 1), (), "share traffic differently"),
        (GatewayWorld, (0, 0), (0, 0), "all weights are zero"),
        (IstioWorld, (0, 0), (0, 0), "all weights are zero"),
    ],
)
async def test_rules_that_hands_left_differing_or_idle_are_not_confirmed_and_restored(
    cluster: FakeKubernetes,
    tmp_path: Path,
    kind: type[KubernetesWorld],
    first: tuple[int, int],
    others: tuple[int, ...],
    word: str,
) -> None:
    async for world in ended(kind(cluster, tmp_path)):
        await world.workers[0].apply(world.route, await split(world, 10), 1)
        await confirmed(world, 1)
        found = cluster.get(world.kind, world.route.name, NAMESPACE)
        rules = found["spec"].get("rules") or found["spec"]["http"]
        lists = [rule.get("backendRefs") or rule.get("route") or [] for rule in rules]
        shared = [refs for refs in lists if len(refs) > 1]
        for refs, weights in zip(shared, [first, *[others] * (len(shared) - 1)], strict=True):
            for ref, weight in zip(refs, weights, strict=False):
                ref["weight"] = weight
        cluster.put(found)
        answer = await world.workers[1].confirm(world.route, 1, world.backends.arms)
        assert answer.answer == "no"
        assert word in answer.reason
        await world.workers[0].apply(world.route, back(world), 2, restoring=True)
        await confirmed(world, 2)
        assert await shown(world) == live(back(world))


async def test_deployments_that_hands_left_without_pods_are_not_confirmed_and_restored(
    cluster: FakeKubernetes, tmp_path: Path
) -> None:
    async for world in ended(ReplicasWorld(cluster, tmp_path)):
        await world.workers[0].apply(world.route, await split(world, 10), 1)
        await confirmed(world, 1)
        for name in world.backends.arms:
            found = cluster.get("Deployment", name, NAMESPACE)
            found["spec"]["replicas"] = 0
            cluster.put(found)
        answer = await world.workers[1].confirm(world.route, 1, world.backends.arms)
        assert answer.answer == "no"
        assert "has pods" in answer.reason
        assert [proxy.proxy for proxy in answer.proxies] == list(world.proxies)
        await world.workers[0].apply(world.route, back(world), 2, restoring=True)
        await confirmed(world, 2)
        assert await shown(world) == live(back(world))


KINDS = {GatewayWorld: "kubernetes-gateway", IstioWorld: "kubernetes-istio", ReplicasWorld: "kubernetes-replicas"}


@pytest.mark.parametrize("kind", KINDS)
async def test_doctor_asks_the_cluster_whether_it_can_be_written_and_writes_nothing(
    kind: type[KubernetesWorld], cluster: FakeKubernetes, tmp_path: Path
) -> None:
    async for world in ended(kind(cluster, tmp_path)):
        before = copy.deepcopy(cluster.store.objects)
        told = "every step could be written now (dry run: nothing was)"
        assert await write_line(world, KINDS[kind]) == (True, "route write", told)
        assert cluster.store.objects == before
        assert [one.verb for one in cluster.asked].count("update") > 0


@pytest.mark.parametrize("kind", KINDS)
async def test_doctor_tells_what_a_webhook_would_refuse(
    kind: type[KubernetesWorld], cluster: FakeKubernetes, tmp_path: Path
) -> None:
    async for world in ended(kind(cluster, tmp_path)):
        cluster.refuse_next(world.kind, message="no canary on a Friday")
        ok, name, told = await write_line(world, KINDS[kind])
        assert (ok, name, "no canary on a Friday" in told) == (False, "route write", True)
        # No write has met the webhook yet.
        with pytest.raises(RouteRejected, match="on a Friday"):
            await world.workers[0].apply(world.route, await split(world, 50), 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_doctor_does_not_say_that_it_can_be_written_where_a_webhook_cannot_be_asked(
    kind: type[KubernetesWorld], cluster: FakeKubernetes, tmp_path: Path
) -> None:
    async for world in ended(kind(cluster, tmp_path)):
        cluster.refuse_next(world.kind, 400, "it does not support dry run")
        ok, name, told = await write_line(world, KINDS[kind])
        assert (ok, name) == (True, "route write")
        assert "can be read; that it can be written is known once the first step has done it" in told
        assert "does not support dry run" in told
