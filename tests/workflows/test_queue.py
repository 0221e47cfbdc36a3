"""Another version comes while one runs: it waits its turn, or takes the running one's place. Nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from coalmine.records import Ban, Outcome, Phase, Receipt, RolloutReport, RolloutStatus, Submission
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission, quick
from tests.workflows.world import GOOD, HARM, UNDECIDED, World

OLD = {"version": "1.0.0", "backend": "checkout-v1"}
QUICK: dict[str, Any] = {"bake": "20s", "rollback_window": "20s"}
STEPS = [{"weight": 10, "for": "20s"}]


def release(
    version: str, policy: str = "queue", baseline: dict[str, str] = OLD, by: str = "bo", **changes: Any
) -> Submission:
    """A start of a version that says what it does when another runs."""
    automated = changes.pop("automated", False)
    arms = {"baseline": baseline, "canary": {"version": version, "backend": f"checkout-{version}"}}
    promotion = {**QUICK, "when_busy": policy, **changes.pop("promotion", {})}
    spec = make_spec(arms=arms, promotion=promotion, steps=STEPS, **changes)
    return make_submission(spec, by=by, automated=automated)


def follows(version: str) -> dict[str, str]:
    """The baseline after that version was promoted."""
    return {"version": version, "backend": f"checkout-{version}"}


async def runs(rollout: Rollout, version: str, *phases: Phase) -> RolloutStatus:
    """Let time pass until a version has its turn."""
    wanted = phases or (Phase.STEPPING,)
    return await rollout.until(lambda now: now.version == version and now.phase in wanted)


def closed(world: World) -> list[tuple[str, str | None]]:
    """How each rollout ended, in order."""
    entries = [entry for entry in world.ledger.values() if entry.kind == "closed"]
    return [(entry.rollout_id.split("/")[2], entry.data["outcome"]) for entry in entries]


async def test_a_queued_one_waits_through_the_bake_and_starts_by_itself(rollout: Rollout, world: World) -> None:
    await rollout.submit(release("1.1.0"))
    first = await rollout.submit(release("1.2.0", baseline=follows("1.1.0")))
    second = await rollout.submit(release("1.3.0", baseline=follows("1.2.0")))
    assert (first.disposition, first.position, first.version) == ("queued", 1, "1.2.0")
    assert first.reason == "1st in line: 1.1.0 is stepping; 1.2.0 starts when it is over"
    assert (second.disposition, second.position) == ("queued", 2)
    status = await rollout.reach(Phase.BAKING)
    assert [(place.position, place.version, place.by) for place in status.waiting] == [
        *((1, "1.2.0", "bo"), (2, "1.3.0", "bo")),
    ]
    await runs(rollout, "1.2.0")
    status = await runs(rollout, "1.3.0")
    assert [(one.version, one.outcome, one.exit) for one in status.ended] == [
        *(("1.1.0", Outcome.PROMOTED, 0), ("1.2.0", Outcome.PROMOTED, 0)),
    ]
    report = await rollout.result()
    assert (report.version, report.outcome) == ("1.3.0", Outcome.PROMOTED)
    assert closed(world) == [("1.1.0", "promoted"), ("1.2.0", "promoted"), ("1.3.0", "promoted")]
    assert "queued" in world.kinds()


@pytest.mark.parametrize("way", ["harm", "rejected"])
async def test_a_queued_one_starts_whatever_became_of_the_other(rollout: Rollout, world: World, way: str) -> None:
    await rollout.submit(release("1.1.0"))
    assert (await rollout.submit(release("1.2.0"))).disposition == "queued"
    await rollout.until(lambda now: now.looks == 1)
    if way == "harm":
        world.judge = lambda look, stage: HARM
    else:
        await rollout.send("reject")
    await rollout.until(lambda now: now.phase is Phase.ROLLING_BACK or now.version == "1.2.0", 1)
    world.judge = lambda look, stage: GOOD
    report = await rollout.result()
    assert (report.version, report.outcome) == ("1.2.0", Outcome.PROMOTED)
    assert closed(world)[0][1] == ("rejected" if way == "rejected" else "rolled_back")


async def test_a_queued_one_starts_though_the_other_was_cancelled(live: Rollout, world: World) -> None:
    # On the dev server: the one whose time skips cannot continue a cancelled workflow as new.
    await live.submit(make_submission(quick()))
    await live.until(lambda now: now.looks == 1)
    waiting = quick(arms={"baseline": OLD, "canary": follows("1.2.0")}, promotion={**QUICK, "when_busy": "queue"})
    assert (await live.submit(make_submission(waiting))).disposition == "queued"
    await live.handle.cancel(reason="wrong release")
    status = await runs(live, "1.2.0")
    assert [(one.version, one.exit) for one in status.ended] == [("1.1.0", 4)]
    assert closed(world) == [("1.1.0", "rolled_back")]
    await live.send("rollback")
    await live.end()


async def test_a_reset_does_not_forget_who_waits(live: Rollout) -> None:
    await live.submit(make_submission(quick(steps=[{"weight": 10, "for": "10m"}])))
    await live.until(lambda now: now.looks == 1)
    waiting = quick(arms={"baseline": OLD, "canary": follows("1.2.0")}, promotion={**QUICK, "when_busy": "queue"})
    await live.submit(make_submission(waiting))
    history = await live.handle.fetch_history()
    done = [e.event_id for e in history.events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]
    await live.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=live.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=live.id, run_id=history.run_id),
            reason="test",
            request_id="reset-1",
            workflow_task_finish_event_id=done[1],
        )
    )
    status = await live.until(lambda now: now.run_id != history.run_id and bool(now.waiting))
    assert [place.version for place in status.waiting] == ["1.2.0"]
    await live.handle.terminate(reason="the test is over")


async def test_a_queued_version_that_was_banned_meanwhile_is_blocked_and_the_next_one_starts(
    rollout: Rollout, world: World
) -> None:
    await rollout.submit(release("1.1.0"))
    await rollout.submit(release("1.2.0", automated=True))
    await rollout.submit(release("1.3.0", baseline=follows("1.1.0")))
    world.bans["1.2.0"] = Ban(service="checkout", version="1.2.0", by="cy", reason="leaks")
    status = await runs(rollout, "1.3.0")
    blocked = status.ended[-1]
    assert (blocked.version, blocked.outcome, blocked.exit) == ("1.2.0", Outcome.BLOCKED, 5)
    assert "banned by" in blocked.reason
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def superseded(rollout: Rollout, world: World, by: Submission) -> tuple[Receipt, RolloutReport]:
    """Let a version take the running one's place, and come to its end."""
    receipt = await rollout.submit(by)
    return receipt, await rollout.result()


async def test_a_superseding_one_rolls_the_running_one_back_first(rollout: Rollout, world: World) -> None:
    await rollout.submit(release("1.1.0"))
    await rollout.until(lambda now: now.canary_weight == 10)
    receipt, report = await superseded(rollout, world, release("1.2.0", "supersede"))
    assert (receipt.disposition, receipt.reason) == ("started", "1.1.0 is rolled back first; 1.2.0 starts then")
    assert (report.version, report.outcome) == ("1.2.0", Outcome.PROMOTED)
    assert closed(world) == [("1.1.0", "superseded"), ("1.2.0", "promoted")]
    assert [write.restoring for write in world.writes] == [False, True, False, False]
    assert not world.bans, "a superseded version may come again"
    [ended] = [entry for entry in world.ledger.values() if entry.data.get("outcome") == "superseded"]
    assert ended.data["cause"] == "human"
    assert ended.reason == "superseded by bo: 1.2.0 takes its place"


async def test_a_third_takes_the_place_of_the_one_that_waits(rollout: Rollout, world: World) -> None:
    await rollout.submit(release("1.1.0"))
    await rollout.until(lambda now: now.canary_weight == 10)
    world.shift_failing = "RouterUnreachable"
    await rollout.submit(release("1.2.0", "supersede"))
    await rollout.reach(Phase.ROLLING_BACK)
    third = await rollout.submit(release("1.3.0", "supersede"))
    assert third.reason == "1st in line: 1.1.0 is rolling back; 1.3.0 starts when it is over"
    world.shift_failing = ""
    status = await runs(rollout, "1.3.0")
    assert [(one.version, one.outcome, one.exit) for one in status.ended] == [
        *(("1.2.0", Outcome.SUPERSEDED, 9), ("1.1.0", Outcome.SUPERSEDED, 9)),
    ]
    await rollout.result()
    assert [title for title in told(world) if "will not start" in title] == ["checkout 1.2.0 will not start"]
    assert closed(world) == [("1.1.0", "superseded"), ("1.3.0", "promoted")]


def told(world: World) -> list[str]:
    """What people were told."""
    return [notice.notification.title for notice in world.notices]


async def test_in_the_bake_a_superseding_one_waits_until_the_objectives_pass(rollout: Rollout, world: World) -> None:
    world.judge = lambda look, stage: UNDECIDED if stage == "bake" else GOOD
    await rollout.submit(release("1.1.0", promotion={"bake": "30m"}))
    await rollout.reach(Phase.BAKING)
    receipt = await rollout.submit(release("1.2.0", "supersede", baseline=follows("1.1.0")))
    assert receipt.disposition == "queued"
    assert receipt.reason.endswith("1.2.0 starts once the objectives of its bake pass")
    looks = (await rollout.status()).looks
    await rollout.until(lambda now: now.looks > looks + 1)
    assert (await rollout.status()).phase is Phase.BAKING
    world.judge = lambda look, stage: GOOD
    await runs(rollout, "1.2.0")
    assert closed(world) == [("1.1.0", "promoted")]
    assert "the bake ends early" in next(e.reason for e in world.ledger.values() if e.kind == "promoted")


async def test_harm_in_the_bake_rolls_back_before_the_superseding_one_starts(rollout: Rollout, world: World) -> None:
    world.judge = lambda look, stage: UNDECIDED if stage == "bake" else GOOD
    await rollout.submit(release("1.1.0", promotion={"bake": "30m"}))
    await rollout.reach(Phase.BAKING)
    await rollout.submit(release("1.2.0", "supersede"))
    world.judge = lambda look, stage: HARM if stage == "bake" else GOOD
    await runs(rollout, "1.2.0")
    assert closed(world) == [("1.1.0", "rolled_back")]


async def test_who_is_superseded_while_admitted_touched_nothing(rollout: Rollout, world: World) -> None:
    world.fleet_silent = True
    await rollout.start(release("1.1.0"))
    await rollout.soon(lambda now: now.phase is Phase.ADMITTING)
    world.fleet_silent = False
    receipt, report = await superseded(rollout, world, release("1.2.0", "supersede"))
    assert receipt.disposition == "started"
    assert (report.version, report.outcome) == ("1.2.0", Outcome.PROMOTED)


async def test_a_line_survives_continue_as_new_and_a_late_comer_in_a_closing_run(
    rollout: Rollout, world: World
) -> None:
    await rollout.submit(release("1.1.0"))
    await rollout.until(lambda now: now.looks == 1)
    world.ledger_down = True
    await rollout.send("rollback")
    await rollout.reach(Phase.CLOSED)
    late = await rollout.submit(release("1.2.0"))
    assert (late.disposition, late.position) == ("queued", 1)
    await rollout.submit(release("1.3.0", baseline=follows("1.2.0")))
    world.ledger_down = False
    await runs(rollout, "1.2.0")
    assert [place.version for place in (await rollout.status()).waiting] == ["1.3.0"]
    assert (await rollout.result()).version == "1.3.0"


async def test_one_that_waits_is_withdrawn(rollout: Rollout, world: World) -> None:
    await rollout.submit(release("1.1.0"))
    await rollout.submit(release("1.2.0"))
    withdrawn = {"by": "cy", "reason": "not yet", "version": "1.2.0"}
    assert (await rollout.say("withdraw", **withdrawn)).message == "1.2.0 will not start: withdrawn by cy: not yet"
    assert await rollout.refused("withdraw", **withdrawn) == "1.2.0 does not wait behind 1.1.0 (waiting: none)"
    assert "'by'" in await rollout.refused("withdraw", by=" ", version="1.2.0")
    assert "version" in await rollout.refused("withdraw", reason="x")
    report = await rollout.result()
    assert (report.version, report.outcome) == ("1.1.0", Outcome.PROMOTED)
