"""The contract, kept by every router of Kubernetes, over real HTTP against an API server of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coalmine.testing.fake_kubernetes import FakeKubernetes
from coalmine.testing.router_contract import RouterContract
from coalmine.testing.router_trouble import TroubleCases
from tests.routers.kubernetes_worlds import (
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


class TestReplicas(RouterContract):
    @pytest.fixture
    async def world(self, cluster: FakeKubernetes, tmp_path: Path) -> AsyncIterator[KubernetesWorld]:
        async for world in ended(ReplicasWorld(cluster, tmp_path)):
            yield world
