"""No weight rises before the ledger has the decision that allows it; nothing that goes down ever waits for it (I4)."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata

from coalmine.records import Cause, Finding, LedgerWrite, Outcome, Phase, ShiftRequest
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import HARM, World

LACKS = ["the ledger has not taken the record yet"]
GATE: dict[str, Any] = {"approval": {}}
LONG: dict[str, Any] = {"steps": [{"weight": 10, "for": "10m"}, {"weight": 50, "for": "1m"}]}


def shares(world: World) -> list[float]:
    return [write.weights.get("checkout-v2", 0) for write in world.writes]


async def at_first_step(rollout: Rollout, **changes: Any) -> None:
    await rollout.start(make_submission(make_spec(**{**LONG, **changes})))
    await rollout.until(lambda now: now.looks == 1)


async def promote_without_ledger(rollout: Rollout) -> None:
    rollout.world.ledger_down = True
    await rollout.say("promote", reason="the fix cannot wait")
    await rollout.soon(lambda now: now.phase is Phase.PROMOTING and now.unmet == LACKS)


async def test_a_promotion_that_was_said_waits_and_looks_go_on(rollout: Rollout, world: World) -> None:
    await at_first_step(rollout)
    await promote_without_ledger(rollout)
    looks = (await rollout.status()).looks
    await rollout.sleep(300)
    status = await rollout.status()
    assert (status.phase, status.unmet, status.canary_weight) == (Phase.PROMOTING, LACKS, 10)
    assert (shares(world), status.looks > looks + 20) == ([10], True)
    # A person reads so on the page, and what there is to say still.
    metadata = await rollout.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    assert f"**not yet:** {LACKS[0]}" in metadata.current_details
    assert (status.can_send, "as soon as the ledger takes entries" in metadata.current_details) == (
        ["pause", "rollback"],
        True,
    )
    world.ledger_down = False
    await rollout.until(lambda now: now.canary_weight == 100)
    assert (await rollout.status()).unmet != LACKS
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    assert shares(world) == [10, 100]


async def test_the_entry_is_written_before_the_weight(rollout: Rollout, world: World) -> None:
    await at_first_step(rollout)
    await rollout.say("promote", reason="now")
    await rollout.until(lambda now: now.canary_weight == 100)
    kinds: list[str] = []
    asked: dict[int, list[str]] = {}
    async for event in rollout.handle.fetch_history_events():
        scheduled = event.activity_task_scheduled_event_attributes
        if scheduled.activity_type.name == "shift":
            request = ShiftRequest.model_validate_json(scheduled.input.payloads[0].data)
            kinds.append(f"{request.weights['checkout-v2']:g}")
        elif scheduled.activity_type.name == "write_ledger":
            write = LedgerWrite.model_validate_json(scheduled.input.payloads[0].data)
            asked[event.event_id] = [entry.kind for entry in write.entries]
        kinds += asked.get(event.activity_task_completed_event_attributes.scheduled_event_id, [])
    assert kinds.index("admitted") < kinds.index("10")
    assert kinds.index("override") < kinds.index("100")


@pytest.mark.parametrize("verb", ["rollback", "cancel"])
async def test_what_takes_it_back_meanwhile_does_not_wait(rollout: Rollout, world: World, verb: str) -> None:
    await at_first_step(rollout)
    await promote_without_ledger(rollout)
    if verb == "cancel":
        await rollout.cancel()
    else:
        await rollout.send("rollback", reason="no")
    await rollout.happens(lambda: world.canary == 0)
    assert shares(world) == [10, 0]
    world.ledger_down = False


async def test_a_promotion_that_waits_can_be_paused(rollout: Rollout, world: World) -> None:
    # As the emergency brake does: when the ledger comes back, 100 % must not.
    await at_first_step(rollout)
    await promote_without_ledger(rollout)
    await rollout.say("pause", reason="emergency brake")
    world.ledger_down = False
    looks = (await rollout.status()).looks
    await rollout.sleep(120)
    status = await rollout.status()
    assert (status.phase, status.unmet, shares(world)) == (Phase.PROMOTING, ["it is paused"], [10])
    assert looks + 8 < status.looks < looks + 16
    await rollout.say("resume")
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    assert shares(world) == [10, 100]


async def test_harm_found_while_it_is_paused_takes_it_back(rollout: Rollout, world: World) -> None:
    await at_first_step(rollout)
    await promote_without_ledger(rollout)
    await rollout.say("pause")
    world.ledger_down = False
    await rollout.soon(lambda now: now.unmet == ["it is paused"])
    world.judge = lambda number, stage: HARM
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
    assert shares(world) == [10, 0]


async def test_harm_found_meanwhile_takes_it_back(rollout: Rollout, world: World) -> None:
    await at_first_step(rollout)
    await promote_without_ledger(rollout)
    world.judge = lambda number, stage: HARM
    await rollout.until(lambda now: now.phase in (Phase.ROLLING_BACK, Phase.CLOSED))
    await rollout.soon(lambda now: now.restored is True)
    world.ledger_down = False
    report = await rollout.result()
    assert (report.outcome, report.cause, shares(world)) == (Outcome.ROLLED_BACK, Cause.ANALYSIS, [10, 0])


async def test_a_doubt_it_was_promoted_past_does_not_stop_it(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: (Finding.SIGNAL, "latency is worse")
    await rollout.start(make_submission(make_spec(**LONG)))
    await rollout.reach(Phase.HELD)
    await promote_without_ledger(rollout)
    await rollout.sleep(60)
    assert (await rollout.status()).phase is Phase.PROMOTING
    world.judge = lambda number, stage: (Finding.NO_HARM, "fine")
    world.ledger_down = False
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_the_first_step_waits_and_a_promotion_before_it_too(rollout: Rollout, world: World) -> None:
    steps = [{**LONG["steps"][0], "gate": GATE}, LONG["steps"][1]]
    await rollout.start(make_submission(make_spec(**{**LONG, "steps": steps})))
    await rollout.reach(Phase.GATED)
    world.ledger_down = True
    await rollout.say("approve")
    await rollout.soon(lambda now: now.unmet == LACKS)
    await rollout.sleep(300)
    assert world.writes == []
    await rollout.say("promote", reason="now")
    await rollout.sleep(1500)
    assert ((await rollout.status()).phase, world.writes) == (Phase.PROMOTING, [])
    world.ledger_down = False
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    assert shares(world) == [100]


async def test_a_pause_while_the_first_step_waits_is_heeded(rollout: Rollout, world: World) -> None:
    steps = [{**LONG["steps"][0], "gate": GATE}, LONG["steps"][1]]
    await rollout.start(make_submission(make_spec(**{**LONG, "steps": steps})))
    await rollout.reach(Phase.GATED)
    world.ledger_down = True
    await rollout.say("approve")
    await rollout.soon(lambda now: now.unmet == LACKS)
    await rollout.say("pause")
    world.ledger_down = False
    await rollout.sleep(120)
    assert world.writes == []
    await rollout.say("resume")
    await rollout.until(lambda now: now.canary_weight == 10)


@pytest.mark.parametrize("verb", ["held", "policy"])
async def test_a_hold_that_ends_in_a_promotion_waits(rollout: Rollout, world: World, verb: str) -> None:
    world.judge = lambda number, stage: (Finding.SIGNAL, "latency is worse") if number < 99 else (Finding.NO_HARM, "ok")
    held = {"timeout": "2m", "action": "promote"} if verb == "policy" else {"timeout": "1h"}
    await rollout.start(make_submission(make_spec(**LONG, policy={"look": "10s", "held": held})))
    await rollout.reach(Phase.HELD)
    world.ledger_down = True
    if verb == "held":
        await rollout.say("promote", reason="known")
    await rollout.reach(Phase.PROMOTING)
    await rollout.sleep(120)
    assert shares(world) == [10]
    world.judge = lambda number, stage: (Finding.NO_HARM, "fine")
    world.ledger_down = False
    assert (await rollout.result()).outcome is Outcome.PROMOTED


@pytest.mark.parametrize(("changed", "waits"), [(0.0, True), (50.0, False)])
async def test_drift_is_put_back_at_once_only_downwards(
    rollout: Rollout, world: World, changed: float, waits: bool
) -> None:
    await at_first_step(rollout)
    world.ledger_down = True
    world.route = {"checkout-v1": 100 - changed, "checkout-v2": changed}
    before = (await rollout.status()).looks
    await rollout.until(lambda now: now.looks >= before + 6)
    assert world.canary == (0 if waits else 10)
    assert (await rollout.status()).phase is Phase.STEPPING
    world.ledger_down = False
    await rollout.until(lambda now: world.canary == 10)


async def test_an_older_write_that_lowered_it_is_written_over_once_the_ledger_has_it(
    rollout: Rollout, world: World
) -> None:
    world.lease = 7
    await rollout.start(make_submission(make_spec(steps=LONG["steps"][:1], policy={"look": "5m"})))
    await rollout.until(lambda now: now.canary_weight == 10)
    world.ledger_down = True
    world.route = {"checkout-v1": 100.0, "checkout-v2": 0.0}
    await rollout.sleep(60)
    assert world.canary == 0
    world.ledger_down = False
    await rollout.until(lambda now: world.canary == 10)


async def test_an_advance_that_falls_between_two_looks_waits_too(rollout: Rollout, world: World) -> None:
    # The lease wakes it after the step's time is over, and no look is due: nothing is written down that says go on.
    world.lease = 14
    steps = [{"weight": 10, "for": "12s"}, {"weight": 50, "for": "10m"}]
    await rollout.start(make_submission(make_spec(steps=steps, policy={"look": "10s"})))
    await rollout.until(lambda now: now.canary_weight == 10)
    world.ledger_down = True
    await rollout.until(lambda now: now.looks >= 3)
    assert shares(world) == [10]
    world.ledger_down = False
    await rollout.until(lambda now: now.canary_weight == 50)
