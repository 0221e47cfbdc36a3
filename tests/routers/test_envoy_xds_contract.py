"""The router contract on real Envoys that are told over gRPC: one set of processes, put to rest before each case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from coalmine.local.envoy import EnvoyProxy
from coalmine.testing.router_contract import RouterContract
from coalmine.testing.router_writing import WritingCases
from coalmine.xds.control_plane import ControlPlane
from tests.routers.envoy_world import ASKED
from tests.routers.xds_world import XdsWorld, xds_envoys, xds_plane

Fleet = tuple[ControlPlane, Mapping[str, EnvoyProxy]]
on_one_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """A control plane and two Envoys."""
    folder = tmp_path_factory.mktemp("xds")
    async with xds_plane(folder / "routes") as plane, xds_envoys(folder, plane, ["edge-0", "edge-1"]) as envoys:
        yield plane, envoys


@on_one_loop
class TestEnvoyXds(RouterContract):
    @pytest_asyncio.fixture(loop_scope="module")
    async def world(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> XdsWorld:
        plane, envoys = fleet
        world = XdsWorld(plane.folder, plane, envoys, monkeypatch)
        await world.rest()
        return world


@on_one_loop
class TestEnvoyXdsWithTestersAndCopies(WritingCases):
    @pytest_asyncio.fixture(loop_scope="module")
    async def world(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> XdsWorld:
        plane, envoys = fleet
        world = XdsWorld(plane.folder, plane, envoys, monkeypatch, ASKED)
        await world.rest()
        return world
