"""A rollback in steps, judged by the router's writes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from coalmine.records import Outcome, Phase
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import CRASH, GOOD, HARM, World

SHORT: dict[str, Any] = {
    "steps": [{"weight": 10, "for": "20s"}, {"weight": 60, "for": "20s"}],
    "promotion": {"bake": "20s", "rollback_window": "1h"},
    "rollback": {"over": "3m", "steps": 4},
}


def shares(world: World) -> list[float]:
    """Of the canary, after it had everything."""
    written = [write.weights.get("checkout-v2", 0.0) for write in world.writes]
    return written[written.index(100.0) + 1 :]


async def promoted(rollout: Rollout) -> None:
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.reach(Phase.WINDOW)


async def test_a_cold_baseline_gets_its_traffic_back_in_steps(rollout: Rollout, world: World) -> None:
    await promoted(rollout)
    began = await rollout.now()
    await rollout.send("rollback", reason="too slow")
    status = await rollout.until(lambda now: now.canary_weight == 50)
    assert status.unmet == ["step back 2 of 4 is taken; rollback once more gives the rest back at once"]
    report = await rollout.result()
    assert report.outcome is Outcome.ROLLED_BACK
    assert shares(world) == [75, 50, 25, 0]
    assert world.route == {"checkout-v1": 100.0}
    assert 180 <= ((await rollout.now()) - began).total_seconds() < 240
    assert report.seconds_to_restore is not None
    assert report.seconds_to_restore < 30, "the steps are no slow restore, and nobody is woken for them"
    assert not any("not confirmed" in told.notification.title for told in world.notices)


async def test_the_same_word_again_gives_the_rest_back_at_once(rollout: Rollout, world: World) -> None:
    await promoted(rollout)
    await rollout.send("rollback", reason="too slow")
    await rollout.until(lambda now: now.canary_weight == 75)
    assert (await rollout.say("rollback", reason="worse")).message == (
        "the rest goes back at once now, without further steps"
    )
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
    assert shares(world) == [75, 0]


async def test_the_same_word_again_waits_for_no_write_that_hangs(rollout: Rollout, world: World) -> None:
    await promoted(rollout)
    world.shift_gate, world.shift_gate_above = asyncio.Event(), 1
    await rollout.send("rollback", reason="too slow")
    await rollout.happens(lambda: world.shifting > 0)
    await rollout.send("rollback", reason="worse")
    await rollout.happens(lambda: world.writes[-1].restoring)
    assert world.canary == 0
    world.shift_gate.set()
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
    assert world.canary == 0


async def test_a_step_that_cannot_be_taken_is_the_last(rollout: Rollout, world: World) -> None:
    await promoted(rollout)
    world.shift_errors = [ApplicationError("no", type="RouteRejected", non_retryable=True)]
    await rollout.send("rollback", reason="too slow")
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
    assert shares(world) == [0]


async def test_a_cancelled_workflow_gives_all_back_at_once(rollout: Rollout, world: World) -> None:
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.until(lambda now: now.canary_weight == 60)
    await rollout.cancel()
    await rollout.cancelled()
    assert world.route.get("checkout-v2", 0.0) == 0
    assert [write.weights.get("checkout-v2", 0.0) for write in world.writes] == [10, 60, 0]


@pytest.mark.parametrize(("finding", "written"), [(HARM, [10, 60, 45, 30, 15, 0]), (CRASH, [10, 60, 0])])
async def test_harm_goes_back_in_steps_and_a_crash_does_not(
    rollout: Rollout, world: World, finding: Any, written: list[float]
) -> None:
    world.judge = lambda number, stage: finding if world.canary == 60 else GOOD
    await rollout.submit(make_submission(make_spec(**SHORT)))
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
    assert [write.weights.get("checkout-v2", 0.0) for write in world.writes] == written


async def test_a_small_canary_goes_back_at_once(rollout: Rollout, world: World) -> None:
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.until(lambda now: now.canary_weight == 10)
    await rollout.send("rollback")
    await rollout.result()
    assert [write.weights.get("checkout-v2", 0.0) for write in world.writes] == [10, 0]
