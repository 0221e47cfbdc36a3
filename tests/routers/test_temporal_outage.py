"""A Temporal server that goes away and comes back, on the pace it has in production."""

from __future__ import annotations

from pathlib import Path

import pytest

from activities.routers.temporal_worker import TemporalWorkerRouter
from coalmine.errors import RouterUnreachable
from coalmine.local.processes import free_ports
from coalmine.testing.router_contract import CANARY, STABLE, confirmed, live, shown
from tests.routers.temporal_servers import dev_server
from tests.routers.temporal_world import shop_and_store, world_of

HALF = {STABLE: 50.0, CANARY: 50.0}


async def test_a_server_that_restarts_keeps_weights_and_fence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, (port,) = tmp_path / "temporal.db", free_ports(1)
    async with dev_server(port=port, file=file) as client, shop_and_store(client) as names:
        world = await world_of(client, names, monkeypatch)
        await world.workers[0].apply(world.route, HALF, 3)
        await confirmed(world, 3)
    fresh = TemporalWorkerRouter()
    place = world.proxies[0]
    with pytest.raises(RouterUnreachable):
        await fresh.apply(world.route, {STABLE: 100.0}, 4)
    checks = await fresh.check(world.route, [STABLE, CANARY], [20])
    assert place.partition("/")[0] in "; ".join(check.reason for check in checks if not check.ok)
    # One that was connected before the outage says so too, and names the server.
    answer = await world.workers[0].confirm(world.route, 3, [STABLE, CANARY])
    assert answer.answer == "no"
    assert place in answer.reason
    async with dev_server(port=port, file=file):
        await confirmed(world, 3)
        assert live(await shown(world)) == HALF
        assert (await fresh.read(world.route, [STABLE, CANARY])).generation == 3
        # Nobody works for either build now: what waits does not fail, so the way back is open.
        await fresh.apply(world.route, {STABLE: 100.0, CANARY: 0.0}, 4, restoring=True)
        await confirmed(world, 4)
        assert await shown(world) == {STABLE: 100}
