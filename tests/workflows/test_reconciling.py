"""On a router without a fence, an older write that comes through is found after a lease, and written over."""

from __future__ import annotations

import pytest

from coalmine.records import Outcome, Phase
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import World

LEASE = 7
LONG = {"steps": [{"weight": 10, "for": "10m"}], "policy": {"look": "5m"}}


def told(world: World) -> list[str]:
    return [notice.notification.title for notice in world.notices]


async def test_an_older_write_under_a_step_is_written_over_before_the_next_look(rollout: Rollout, world: World) -> None:
    world.lease = LEASE
    await rollout.start(make_submission(make_spec(**LONG)))
    await rollout.until(lambda now: now.canary_weight == 10)
    written = world.generation
    # A worker that slept through its time-out wakes up, and nothing stops its write.
    world.route = {"checkout-v1": 30.0, "checkout-v2": 70.0}
    await rollout.sleep(LEASE + 1)
    await rollout.soon(lambda now: world.canary == 10)
    assert world.generation > written
    assert "reconciled" in world.kinds()
    assert "An older write came through" in told(world)
    assert (await rollout.status()).looks == 0


@pytest.mark.parametrize("phase", [Phase.BAKING, Phase.WINDOW])
async def test_so_is_one_after_the_last_step(rollout: Rollout, world: World, phase: Phase) -> None:
    world.lease = LEASE
    promotion = {"bake": "10m", "rollback_window": "10m"} if phase is Phase.BAKING else {"rollback_window": "10m"}
    spec = make_spec(promotion=promotion)
    await rollout.start(make_submission(spec))
    await rollout.until(lambda now: now.phase is phase, 400)
    if phase is Phase.BAKING:
        world.route = {"checkout-v1": 50.0, "checkout-v2": 50.0}
        await rollout.sleep(LEASE + 1)
        await rollout.soon(lambda now: world.canary == 100)
        # A look may have come first.
        assert not {"reconciled", "drift"}.isdisjoint(world.kinds())
    else:
        # Long after the last write there is nothing that could still come.
        assert "reconciled" not in world.kinds()
    await rollout.send("rollback")
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK


async def test_a_rollback_is_over_only_when_nothing_older_can_come(rollout: Rollout, world: World) -> None:
    world.lease = LEASE
    await rollout.start(make_submission(make_spec(**LONG)))
    await rollout.until(lambda now: now.canary_weight == 10)
    await rollout.send("rollback")
    await rollout.soon(lambda now: world.canary == 0)
    assert (await rollout.status()).phase is Phase.ROLLING_BACK
    restored = world.generation
    world.route = {"checkout-v1": 90.0, "checkout-v2": 10.0}
    report = await rollout.result()
    assert report.outcome is Outcome.ROLLED_BACK
    assert world.canary == 0
    assert world.generation > restored
    assert world.kinds().count("reconciled") == 1


async def test_a_route_that_cannot_be_read_is_read_again(rollout: Rollout, world: World) -> None:
    world.lease = LEASE
    await rollout.start(make_submission(make_spec(**LONG)))
    await rollout.until(lambda now: now.canary_weight == 10)
    await rollout.send("rollback")
    await rollout.soon(lambda now: world.canary == 0)
    world.shown_wrong = 0
    report = await rollout.result()
    assert report.outcome is Outcome.ROLLED_BACK
    assert "reconciled" not in world.kinds()


async def test_a_strict_router_is_not_waited_for(rollout: Rollout, world: World) -> None:
    await rollout.start(make_submission(make_spec(**LONG)))
    await rollout.until(lambda now: now.canary_weight == 10)
    await rollout.send("rollback")
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
    assert "reconciled" not in world.kinds()
