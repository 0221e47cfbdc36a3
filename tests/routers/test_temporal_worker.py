"""The contract on a real worker deployment."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from temporalio.client import Client

from activities.routers.temporal_worker import TemporalWorkerRouter
from coalmine.errors import StaleGeneration
from coalmine.testing.router_contract import STABLE, RouterContract, confirmed, live, shown
from coalmine.testing.router_world import split, state_of
from tests.routers.temporal_servers import WITHOUT_PAUSE, dev_server
from tests.routers.temporal_world import TemporalWorld, known, route_of, shop_and_store, world_of
from tests.routers.toy import build_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployments(_own_home: None) -> AsyncIterator[tuple[Client, tuple[str, str]]]:
    """A server and two deployments for all cases."""
    async with dev_server(*WITHOUT_PAUSE) as client, shop_and_store(client) as names:
        yield client, names


class TestTemporalWorker(RouterContract):
    @pytest_asyncio.fixture(loop_scope="module")
    async def world(
        self, deployments: tuple[Client, tuple[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> TemporalWorld:
        return await world_of(*deployments, monkeypatch)


async def test_what_an_operator_writes_does_not_lower_the_fence(
    deployments: tuple[Client, tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The identity that carries the generation is theirs then; the builds remember it."""
    world = await world_of(*deployments, monkeypatch)
    first, other = world.workers
    await first.apply(world.route, await split(world, 10), 5)
    await world.meddle(await split(world, 50))
    assert (await state_of(world, worker=1)).generation == 5
    for generation in (3, 5):
        with pytest.raises(StaleGeneration):
            await other.apply(world.route, await split(world, 20), generation)
    assert live((await state_of(world)).weights) == await split(world, 50)
    await other.apply(world.route, await split(world, 20), 6)
    await confirmed(world, 6)
    assert await shown(world) == await split(world, 20)


async def test_workers_that_have_just_started_are_waited_for(
    deployments: tuple[Client, tuple[str, str]],
) -> None:
    client, _ = deployments
    router = TemporalWorkerRouter()
    # The server knows a build a second before it lists who works for it, two times of three.
    for number in range(4):
        name = f"fresh-{number}"
        async with build_of(client, name, STABLE):
            await known(client, name, STABLE)
            checks = await router.check(route_of(client, name), [STABLE], [100])
        assert not [check.reason for check in checks if "no healthy worker" in check.reason]
