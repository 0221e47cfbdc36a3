"""Weights that somebody changes by hand under a running rollout."""

from __future__ import annotations

from typing import Any

import pytest

from coalmine.records import Outcome, Phase, Weights
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import UNDECIDED, World

HALF: Weights = {"checkout-v1": 50.0, "checkout-v2": 50.0}
HOLD = {"look": "10s", "drift": "hold"}


async def begin(rollout: Rollout, **changes: Any) -> None:
    """Up to the first look of the first step."""
    await rollout.start(make_submission(make_spec(notify=[{"kind": "log"}], **changes)))
    await rollout.until(lambda now: now.looks == 1)
    assert rollout.world.canary == 10


def change(world: World, weights: Weights = HALF, generation: int = 0) -> None:
    """By hand, past every rule."""
    world.route, world.generation = dict(weights), world.generation + generation


async def until_look(rollout: Rollout, number: int) -> None:
    """Let time pass until so many looks were taken."""
    await rollout.until(lambda now: now.looks >= number)


async def why_held(rollout: Rollout) -> str:
    """As the rollout's own record has it."""
    return [entry.reason for entry in (await rollout.decisions()).entries if entry.kind == "hold"][-1]


@pytest.mark.parametrize("generation", [0, 1, 40])
async def test_it_is_put_back_within_a_look_and_told_once(rollout: Rollout, generation: int) -> None:
    await begin(rollout)
    world = rollout.world
    change(world, generation=generation)
    before = world.generation
    await rollout.until(lambda now: now.looks == 2)
    assert (world.canary, world.generation) == (10, before + 1)
    report = await rollout.result()
    assert report.outcome is Outcome.PROMOTED
    drifts = [entry for entry in world.ledger.values() if entry.kind == "drift"]
    assert [entry.reason for entry in drifts] == [
        "somebody changed the route: checkout-v1 50 %, checkout-v2 50 % instead of checkout-v1 90 %, checkout-v2 10 %; "
        "our own weights are written again"
    ]
    titles = [request.notification.title for request in world.notices]
    assert sum("the route was changed" in title for title in titles) == 1


async def test_a_policy_can_ask_a_human(rollout: Rollout) -> None:
    await begin(rollout, policy=HOLD, steps=[{"weight": 10, "for": "10m"}])
    world = rollout.world
    change(world, generation=5)
    held = await rollout.reach(Phase.HELD)
    assert (await why_held(rollout)).startswith(
        "somebody changed the route: checkout-v1 50 %, checkout-v2 50 % instead of"
    )
    looks = held.looks
    await rollout.until(lambda now: now.looks >= looks + 3)
    # Nothing is written over it, and it is said once.
    assert world.canary == 50
    assert sum(entry.kind == "drift" for entry in world.ledger.values()) == 1
    await rollout.say("resume", reason="go on")
    await rollout.until(lambda now: now.canary_weight == 10 and world.canary == 10)
    # Later changes are asked about anew.
    change(world)
    await rollout.reach(Phase.HELD)
    await rollout.send("rollback")
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
    assert world.canary == 0


async def test_who_keeps_writing_it_is_asked_about(rollout: Rollout) -> None:
    await begin(rollout, steps=[{"weight": 10, "for": "10m"}])
    looks = 1
    while (await rollout.status()).phase is not Phase.HELD:
        change(rollout.world)
        looks += 1
        assert looks < 10
        await until_look(rollout, looks)
    assert "somebody changed the route, 4 looks in a row" in await why_held(rollout)
    assert sum(write.weights.get("checkout-v2") == 10 for write in rollout.world.writes) == 1 + 3
    await rollout.send("rollback")
    await rollout.result()


async def test_also_in_the_bake(rollout: Rollout) -> None:
    spec = make_spec(steps=[{"weight": 10, "for": "10s"}], promotion={"bake": "5m", "rollback_window": "1m"})
    await rollout.start(make_submission(spec))
    await rollout.reach(Phase.BAKING)
    change(rollout.world, {"checkout-v1": 100.0, "checkout-v2": 0.0})
    await rollout.until(lambda now: rollout.world.canary == 100)
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_also_while_held_for_something_else(rollout: Rollout) -> None:
    rollout.world.judge = lambda look, stage: UNDECIDED
    await begin(rollout, steps=[{"weight": 10, "for": "20s"}], policy={"look": "10s", "max_extension": "10s"})
    await rollout.reach(Phase.HELD)
    change(rollout.world)
    await rollout.until(lambda now: rollout.world.canary == 10)
    assert (await rollout.status()).phase is Phase.HELD
    await rollout.send("rollback")
    await rollout.result()


async def test_a_rollback_goes_above_what_was_written(rollout: Rollout) -> None:
    await begin(rollout, policy=HOLD)
    change(rollout.world, generation=100)
    await rollout.reach(Phase.HELD)
    await rollout.send("rollback")
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
    assert [write.weights for write in rollout.world.writes if write.restoring] == [{"checkout-v1": 100.0}]
    assert "overtaken" not in rollout.world.kinds()


async def test_a_rollout_that_only_advises_owns_no_weights(rollout: Rollout) -> None:
    await rollout.start(make_submission(make_spec(), advise=True))
    await rollout.until(lambda now: now.looks == 1)
    change(rollout.world)
    await rollout.until(lambda now: now.looks >= 3)
    assert rollout.world.writes == []
