"""A real worker deployment on the dev server, with workers in two builds and a third build that has none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.workflowservice.v1 import (
    CreateWorkerDeploymentVersionRequest,
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentResponse,
    DescribeWorkerDeploymentVersionRequest,
    DescribeWorkerDeploymentVersionResponse,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
    UpdateWorkerDeploymentVersionMetadataRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.routers.base import Router
from activities.routers.temporal_deployment import Change, DeploymentCalls
from activities.routers.temporal_worker import TemporalWorkerRouter, place_of
from coalmine.errors import RouterUnreachable
from coalmine.records import Weights
from coalmine.spec.canary import Route
from coalmine.testing.router_contract import CANARY, DEAD, STABLE, Lack, RouterWorld
from tests.routers.toy import build_of

Answer = TypeVar("Answer")
KNOWN_WITHIN = 60.0
"""Seconds until the server has heard of workers that started."""


@dataclass
class TemporalWorld(RouterWorld):
    """A deployment with ``stable`` current."""

    client: Client
    route: Route
    beside: Route
    patch: pytest.MonkeyPatch
    routers: Sequence[Router] = field(default_factory=lambda: [TemporalWorkerRouter(), TemporalWorkerRouter()])
    lacks: Mapping[Lack, str] = field(
        default_factory=lambda: {
            "outage": "the server is the one proxy: while it is down nothing is written (test_temporal_outage.py)",
            "parts": "one write of the server is whole",
        }
    )

    @property
    def workers(self) -> Sequence[Router]:
        return self.routers

    @property
    def proxies(self) -> Sequence[str]:
        return [place_of(self.client)]

    @property
    def second(self) -> Route:
        return self.beside

    async def foreign(self) -> object:
        """The other deployment's routing, and what the builds' metadata holds that is not ours."""
        found = await describe(self.client, self.beside.name)
        entries: dict[str, bytes] = {}
        for build in (STABLE, CANARY):
            version = await describe_build(self.client, self.route.name, build)
            kept = version.worker_deployment_version_info.metadata.entries
            entries |= {f"{build} {key}": kept[key].data for key in kept if not key.startswith("coalmine.")}
        return found.worker_deployment_info.routing_config.SerializeToString(), entries

    async def meddle(self, weights: Weights) -> None:
        """As an operator with the ``temporal`` CLI does."""
        current, *others = sorted(weights, key=lambda build: -weights[build])
        await set_current(self.client, self.route.name, current)
        ramped = [build for build in others if weights[build]]
        await set_ramping(
            self.client, self.route.name, ramped[0] if ramped else "", sum(weights[one] for one in ramped)
        )

    def refuse_next(self) -> None:
        """Ask for a percentage the server refuses, once."""
        real = DeploymentCalls.change

        async def refused(calls: DeploymentCalls, one: Change, token: bytes, generation: int, *, last: bool) -> bytes:
            self.patch.setattr(DeploymentCalls, "change", real)
            return await real(calls, Change(CANARY, 101.0), token, generation, last=last)

        self.patch.setattr(DeploymentCalls, "change", refused)

    def lose_next_answer(self) -> None:
        """Make the next write, and say that nobody answered."""
        real = DeploymentCalls.change

        async def lost(calls: DeploymentCalls, one: Change, token: bytes, generation: int, *, last: bool) -> bytes:
            self.patch.setattr(DeploymentCalls, "change", real)
            await real(calls, one, token, generation, last=last)
            raise RouterUnreachable("the answer was lost")

        self.patch.setattr(DeploymentCalls, "change", lost)


@asynccontextmanager
async def shop_and_store(client: Client) -> AsyncIterator[tuple[str, str]]:
    """Two deployments with workers in two builds, for many cases: a namespace has room for a hundred only."""
    shop, store = (f"{name}-{uuid4().hex[:8]}" for name in ("shop", "store"))
    async with AsyncExitStack() as running:
        for name in (shop, store):
            for build in (STABLE, CANARY):
                await running.enter_async_context(build_of(client, name, build))
        for name in (shop, store):
            await known(client, name, STABLE, CANARY)
        await create_build(client, shop, DEAD)
        await note(client, shop, CANARY, "owner", b'"team-shop"')
        yield shop, store


async def world_of(client: Client, names: tuple[str, str], patch: pytest.MonkeyPatch) -> TemporalWorld:
    """The two at rest, as if none of ours had ever written them."""
    for name in names:
        for build in (STABLE, CANARY):
            await forget(client, name, build)
        await set_current(client, name, STABLE)
        await set_ramping(client, name, "", 0.0)
    return TemporalWorld(client, route_of(client, names[0]), route_of(client, names[1]), patch)


async def forget(client: Client, name: str, build: str) -> None:
    """Remove what we keep with a build."""
    entries = (await describe_build(client, name, build)).worker_deployment_version_info.metadata.entries
    ours = [key for key in entries if key.startswith("coalmine.")]
    if not ours:
        return
    await patiently(
        client.workflow_service.update_worker_deployment_version_metadata,
        UpdateWorkerDeploymentVersionMetadataRequest(
            namespace=client.namespace,
            deployment_version=WorkerDeploymentVersion(deployment_name=name, build_id=build),
            remove_entries=ours,
            identity="operator",
        ),
    )


def route_of(client: Client, name: str) -> Route:
    """The route of a spec for this deployment."""
    address = client.service_client.config.target_host
    return Route.model_validate(
        {"router": "temporal-worker", "name": name, "address": address, "namespace": client.namespace}
    )


async def create_build(client: Client, name: str, build: str) -> None:
    """A build no worker has ever asked for work for."""
    await patiently(
        client.workflow_service.create_worker_deployment_version,
        CreateWorkerDeploymentVersionRequest(
            namespace=client.namespace,
            deployment_version=WorkerDeploymentVersion(deployment_name=name, build_id=build),
            identity="operator",
            request_id=uuid4().hex,
        ),
    )


async def note(client: Client, name: str, build: str, key: str, value: bytes) -> None:
    """Metadata somebody else keeps with a build."""
    await patiently(
        client.workflow_service.update_worker_deployment_version_metadata,
        UpdateWorkerDeploymentVersionMetadataRequest(
            namespace=client.namespace,
            deployment_version=WorkerDeploymentVersion(deployment_name=name, build_id=build),
            upsert_entries={key: Payload(metadata={"encoding": b"json/plain"}, data=value)},
            identity="operator",
        ),
    )


async def describe_build(client: Client, name: str, build: str) -> DescribeWorkerDeploymentVersionResponse:
    """A build in the server's own words."""
    version = WorkerDeploymentVersion(deployment_name=name, build_id=build)
    request = DescribeWorkerDeploymentVersionRequest(namespace=client.namespace, deployment_version=version)
    return await patiently(client.workflow_service.describe_worker_deployment_version, request)


async def patiently(call: Callable[..., Awaitable[Answer]], request: object) -> Answer:
    """Ask again while the server is too busy with the deployment."""
    async with asyncio.timeout(KNOWN_WITHIN):
        while True:
            try:
                return await call(request)
            except RPCError as error:
                if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED:
                    raise
            await asyncio.sleep(0.1)


async def describe(client: Client, name: str) -> DescribeWorkerDeploymentResponse:
    """The deployment in the server's own words."""
    request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=name)
    return await patiently(client.workflow_service.describe_worker_deployment, request)


async def known(client: Client, name: str, *builds: str) -> None:
    """Wait until the server has heard of the workers of these builds, and of their task queues."""
    async with asyncio.timeout(KNOWN_WITHIN):
        for build in builds:
            while True:
                try:
                    found = await describe_build(client, name, build)
                except RPCError:
                    found = None
                if found is not None and found.version_task_queues:
                    break
                await asyncio.sleep(0.05)


async def set_current(client: Client, name: str, build: str) -> None:
    """Make a build current, as an operator."""
    await patiently(
        client.workflow_service.set_worker_deployment_current_version,
        SetWorkerDeploymentCurrentVersionRequest(
            namespace=client.namespace, deployment_name=name, build_id=build, identity="operator"
        ),
    )


async def set_ramping(client: Client, name: str, build: str, percent: float) -> None:
    """Ramp a build, as an operator; no build ends the ramp."""
    await patiently(
        client.workflow_service.set_worker_deployment_ramping_version,
        SetWorkerDeploymentRampingVersionRequest(
            namespace=client.namespace, deployment_name=name, build_id=build, percentage=percent, identity="operator"
        ),
    )
