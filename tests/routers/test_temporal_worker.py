"""The contract on a real worker deployment."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from temporalio.client import Client

from coalmine.testing.router_contract import RouterContract
from tests.routers.temporal_servers import WITHOUT_PAUSE, dev_server
from tests.routers.temporal_world import TemporalWorld, shop_and_store, world_of

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
