"""What waits for a confirmation in the contract: a proxy that missed a change hears of the write again."""

from __future__ import annotations

import pytest

from coalmine.testing import router_world
from coalmine.testing.fake_router import FakeRouter
from coalmine.testing.router_world import confirmed, split
from tests.routers.fake_world import fake_of


@pytest.mark.parametrize("repeated", [True, False])
async def test_a_write_that_a_proxy_missed_is_repeated_once(repeated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_world, "CONFIRM_WITHIN", 0.2)
    world = fake_of(FakeRouter)
    tenth = await split(world, 10)
    await world.router.apply(world.route, tenth, 1)
    missed = world.router._plane(world.route.name).proxies[world.proxies[-1]]
    missed.cut, missed.generation = True, 0
    if repeated:
        assert (await confirmed(world, 1, repeat=tenth)).answer == "yes"
        assert [write.result for write in world.router.log] == ["written", "kept"]
    else:
        with pytest.raises(AssertionError, match="shows generation 0, not 1"):
            await confirmed(world, 1)
