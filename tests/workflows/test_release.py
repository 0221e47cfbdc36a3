"""A release from start to end, and what it leaves behind."""

from __future__ import annotations

from datetime import timedelta

import pytest

from coalmine.records import Action, Cause, Outcome, Phase
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.windows import tiles
from tests.workflows.world import CRASH, GOOD, HARM, Judgement, World


def canary_weights(world: World) -> list[float]:
    return [write.weights.get("checkout-v2", 0.0) for write in world.writes]


async def test_a_good_release_is_promoted(rollout: Rollout, world: World) -> None:
    await rollout.start()
    report = await rollout.result()
    assert (report.outcome, report.exit, report.weights["checkout-v2"]) == (Outcome.PROMOTED, 0, 100)
    assert canary_weights(world) == [10, 50, 100]
    assert [write.generation for write in world.writes] == [1, 2, 3]
    assert world.kinds() == [
        *("admitted", "shifted", "advance", "shifted", "promote", "shifted", "baking", "promoted", "closed"),
        "archived",
    ]
    assert report.ledger_complete
    assert [entry.kind for entry in report.decisions] == world.kinds()


async def test_windows_tile_and_the_bake_starts_anew(rollout: Rollout, world: World) -> None:
    await rollout.start()
    await rollout.result()
    stages = [(look.stage, look.new_step, look.share) for look in world.evaluations]
    first_bake = next(index for index, stage in enumerate(stages) if stage[0] == "bake")
    windows = world.windows["errors"]
    assert tiles(windows[:first_bake])
    assert tiles(windows[first_bake:])
    assert windows[first_bake].start > windows[first_bake - 1].end
    assert [number for number, look in enumerate(world.evaluations) if look.new_step] == [6]
    shares = [look.share for look in world.evaluations]
    # The window that still counts samples from before a shift has no share of its own.
    assert shares == [None] + [0.1] * 5 + [None] + [0.5] * 5 + [None] * (len(shares) - 12)


async def test_the_ledger_has_every_sequence(rollout: Rollout, world: World) -> None:
    await rollout.start()
    await rollout.result()
    assert [sequence for _, sequence in sorted(world.ledger)] == list(range(1, len(world.ledger) + 1))
    assert {name for name, _ in world.ledger} == {"test/checkout/1.1.0/1"}
    looks = [entry for entry in world.ledger.values() if entry.kind == "look"]
    assert len(looks) == len(world.evaluations)
    assert all(entry.data["counts"][0]["canary"]["total"] == world.rate for entry in looks)


@pytest.mark.parametrize("found", [HARM, CRASH])
@pytest.mark.parametrize("look", [1, 8, 14])
async def test_harm_restores_the_route_and_bans(rollout: Rollout, world: World, found: Judgement, look: int) -> None:
    world.judge = lambda number, stage: found if number >= look else GOOD
    await rollout.start()
    report = await rollout.result()
    assert (report.outcome, report.cause, report.exit) == (Outcome.ROLLED_BACK, Cause.ANALYSIS, 3)
    assert report.reason == found[1]
    assert world.route == {"checkout-v1": 100.0}
    assert report.looks == look
    assert "1.1.0" in world.bans
    assert report.seconds_to_restore is not None
    titles = [notice.notification.title for notice in world.notices]
    assert any("rolling back" in title for title in titles), titles


async def test_a_bake_that_harms_rolls_back(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: HARM if stage == "bake" else GOOD
    await rollout.start()
    report = await rollout.result()
    assert report.outcome is Outcome.ROLLED_BACK
    assert canary_weights(world)[:3] == [10, 50, 100]
    assert world.canary == 0


async def test_no_bake_and_no_window(rollout: Rollout, world: World) -> None:
    await rollout.start(make_submission(make_spec(promotion={"bake": "0s", "rollback_window": "0s"})))
    report = await rollout.result()
    assert (report.outcome, world.canary) == (Outcome.PROMOTED, 100)
    assert {look.stage for look in world.evaluations} == {"compare"}


async def test_min_requests_of_the_step_alone(rollout: Rollout, world: World) -> None:
    steps = [{"weight": 10, "for": "20s"}, {"weight": 50, "for": "20s", "min_requests": 500}]
    await rollout.start(make_submission(make_spec(steps=steps)))
    status = await rollout.until(lambda now: now.step == 1 and now.step_requests > 0)
    assert status.step_requests == 100
    assert any("canary requests in this step" in unmet for unmet in status.unmet)
    await rollout.result()
    # One look straddles the shift and does not count; five of 100 requests do.
    compare = [look for look in world.evaluations if look.stage == "compare"]
    assert len(compare) == 2 + 1 + 5


@pytest.mark.parametrize(("found", "advice", "exit_code"), [(GOOD, Action.PROMOTE, 0), (HARM, Action.ROLL_BACK, 3)])
async def test_advice_never_writes(
    rollout: Rollout, world: World, found: Judgement, advice: Action, exit_code: int
) -> None:
    world.judge = lambda number, stage: found
    world.route = {"checkout-v1": 60.0, "checkout-v2": 40.0}
    await rollout.start(make_submission(advise=True))
    report = await rollout.result()
    assert (report.outcome, report.advice, report.exit) == (None, advice, exit_code)
    assert world.writes == []
    assert world.bans == {}
    assert world.hooks == []


async def test_status_tells_where_it_stands(rollout: Rollout, world: World) -> None:
    await rollout.start()
    status = await rollout.until(lambda now: now.looks == 2)
    assert (status.phase, status.step, status.canary_weight) == (Phase.STEPPING, 0, 10)
    assert [step.state for step in status.steps] == ["now", "todo"]
    assert status.next_look_at is not None
    assert status.step_ends_at is not None
    assert status.step_ends_at - status.next_look_at < timedelta(minutes=1)
    assert "step 1 lasts until" in status.unmet[0]
    baking = await rollout.reach(Phase.BAKING)
    assert [step.state for step in baking.steps] == ["done", "done"]
    assert baking.deadline_at is not None
