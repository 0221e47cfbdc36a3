"""Gates: who opens them, when, and what happens when nobody does."""

from __future__ import annotations

from typing import Any

import pytest

from coalmine.records import Cause, Outcome, Phase
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission, quick
from tests.workflows.world import HARM, World


def gated(first: bool = False, length: str = "20s", **approval: Any) -> dict[str, Any]:
    """A spec with a gate before the second step (or the first)."""
    gate = {"name": "go", "approval": {"by": ["sre"], "timeout": "10m", **approval}}
    steps: list[dict[str, Any]] = [{"weight": 10, "for": length}, {"weight": 50, "for": length}]
    steps[0 if first else 1]["gate"] = gate
    return {"steps": steps, "people": {"sre": ["ana", "bo"]}}


async def start(rollout: Rollout, first: bool = False, **approval: Any) -> None:
    policy = approval.pop("policy", {"look": "10s"})
    await rollout.start(make_submission(make_spec(**gated(first, **approval), policy=policy)))


@pytest.mark.parametrize("first", [False, True])
async def test_an_approval_opens_the_waiting_gate(rollout: Rollout, world: World, first: bool) -> None:
    await start(rollout, first)
    status = await rollout.reach(Phase.GATED)
    assert status.gate is not None
    assert (status.gate.name, status.gate.state, status.gate.by) == ("go", "waiting", ["sre"])
    assert status.canary_weight == (0 if first else 10)
    await rollout.sleep(60)
    assert world.canary == (0 if first else 10)
    await rollout.send("approve", reason="ok")
    # At once: it does not wait for the next look.
    await rollout.soon(lambda now: now.canary_weight == (10 if first else 50))
    assert (await rollout.result()).outcome is Outcome.PROMOTED


@pytest.mark.parametrize("before", [0, 0.02])
async def test_an_approval_that_comes_as_a_look_falls_due_opens_the_gate(live: Rollout, before: float) -> None:
    """On a real server: its task cancels the timer that fires at the same moment."""
    await live.start(make_submission(quick(**gated(length="1s"))))
    await live.reach(Phase.GATED)
    await live.sleep_until((await live.status()).next_look_at, before)
    await live.send("approve")
    await live.until(lambda now: now.canary_weight == 50)


async def test_what_is_said_as_a_look_falls_due_is_heard(rollout: Rollout) -> None:
    """Of the time-skipping server: ``Rollout.settle`` keeps clear of what strands it."""
    await start(rollout)
    await rollout.reach(Phase.GATED)
    for paused in [True, False] * 6:
        await rollout.sleep_until((await rollout.status()).next_look_at)
        await rollout.send("pause" if paused else "resume")
        await rollout.soon(lambda now, paused=paused: now.paused is paused)  # type: ignore[misc]


@pytest.mark.parametrize("first", [False, True])
async def test_looks_go_on_while_the_gate_waits(rollout: Rollout, world: World, first: bool) -> None:
    await start(rollout, first)
    await rollout.reach(Phase.GATED)
    before = (await rollout.status()).looks
    await rollout.sleep(100)
    looks = (await rollout.status()).looks - before
    assert looks in ([0] if first else range(8, 12))


async def test_harm_at_the_gate_rolls_back(rollout: Rollout, world: World) -> None:
    await start(rollout)
    await rollout.reach(Phase.GATED)
    world.judge = lambda number, stage: HARM
    report = await rollout.result()
    assert (report.outcome, report.cause) == (Outcome.ROLLED_BACK, Cause.ANALYSIS)
    assert max(write.weights.get("checkout-v2", 0) for write in world.writes) == 10


async def test_an_early_approval_is_kept(rollout: Rollout, world: World) -> None:
    await start(rollout)
    await rollout.until(lambda now: now.looks == 1)
    receipt = await rollout.say("approve", gate="go")
    assert receipt.message == "gate 'go' is open"
    assert (await rollout.status()).phase is Phase.STEPPING
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    assert "gate" not in world.kinds()


async def test_an_early_approval_names_its_gate(rollout: Rollout) -> None:
    await start(rollout)
    await rollout.until(lambda now: now.looks == 1)
    assert "no gate is waiting now" in await rollout.refused("approve")
    assert "there is no gate 'stop'; the gates are 'go'" in await rollout.refused("approve", gate="stop")


async def test_two_distinct_people(rollout: Rollout, world: World) -> None:
    await start(rollout, count=2)
    await rollout.reach(Phase.GATED)
    assert (await rollout.say("approve")).message == "gate 'go' has 1 of 2 approvals"
    assert (await rollout.say("approve")).message == "ana approved gate 'go' already"
    assert (await rollout.say("approve", by=" ana ")).message == "ana approved gate 'go' already"
    await rollout.sleep(60)
    assert world.canary == 10
    assert (await rollout.say("approve", by="bo")).message == "gate 'go' is open"
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_the_wrong_person_is_refused_also_when_it_is_open(rollout: Rollout, world: World) -> None:
    await start(rollout)
    await rollout.reach(Phase.GATED)
    assert "eve may not approve gate 'go': it asks for one of ana, bo" in await rollout.refused("approve", by="eve")
    await rollout.send("approve", by="eve")
    await rollout.sleep(30)
    assert world.canary == 10
    assert [refused.by for refused in (await rollout.status()).refused] == ["eve"]
    await rollout.say("pause")
    await rollout.say("approve")
    assert "eve may not approve" in await rollout.refused("approve", by="eve", gate="go")


async def test_a_gate_nobody_answers_rolls_back(rollout: Rollout, world: World) -> None:
    await start(rollout)
    await rollout.reach(Phase.GATED)
    report = await rollout.result()
    assert (report.outcome, report.cause, report.exit) == (Outcome.ROLLED_BACK, Cause.DEADLINE, 3)
    assert report.reason == "gate 'go' was not approved within 10m"
    assert world.route == {"checkout-v1": 100.0}


@pytest.mark.parametrize("first", [False, True])
async def test_a_gate_nobody_answers_holds_and_its_approval_goes_on(
    rollout: Rollout, world: World, first: bool
) -> None:
    await start(rollout, first, on_timeout="hold")
    status = await rollout.reach(Phase.HELD, 20)
    assert status.held_reason == "gate 'go' was not approved within 10m"
    looks = status.looks
    await rollout.sleep(60)
    assert (await rollout.status()).looks - looks in ([0] if first else range(4, 8))
    assert (await rollout.say("approve")).message == "gate 'go' is open, and the hold is over"
    assert (await rollout.result()).outcome is Outcome.PROMOTED


@pytest.mark.parametrize("first", [False, True])
async def test_resuming_a_late_gate_asks_anew_and_stale_answers_open_nothing(
    rollout: Rollout, world: World, first: bool
) -> None:
    await start(rollout, first, on_timeout="hold", count=2)
    await rollout.reach(Phase.GATED)
    await rollout.say("approve", attempt=1)
    await rollout.reach(Phase.HELD, 20)
    await rollout.say("resume")
    status = await rollout.reach(Phase.GATED)
    assert status.gate is not None
    assert (status.gate.attempt, status.gate.approvals) == (2, [])
    stale = await rollout.refused("approve", by="bo", attempt=1)
    assert stale == "gate 'go' is at attempt 2, not 1: a stale decision opens nothing"
    await rollout.say("approve", by="bo", attempt=2)
    await rollout.sleep(30)
    assert world.canary == (0 if first else 10)
    await rollout.say("approve", attempt=2)
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_a_held_gate_nobody_answers_rolls_back(rollout: Rollout, world: World) -> None:
    await start(rollout, on_timeout="hold", policy={"look": "10s", "held": {"timeout": "20m"}})
    await rollout.reach(Phase.HELD, 20)
    report = await rollout.result()
    assert (report.outcome, report.cause) == (Outcome.ROLLED_BACK, Cause.DEADLINE)
    assert report.reason == "held until its deadline: gate 'go' was not approved within 10m"


async def test_a_reject_at_the_gate(rollout: Rollout, world: World) -> None:
    await start(rollout)
    await rollout.reach(Phase.GATED)
    await rollout.send("reject", reason="not on a Friday")
    report = await rollout.result()
    assert (report.outcome, report.exit) == (Outcome.REJECTED, 4)
    assert report.reason == "reject by ana: not on a Friday"
    assert "1.1.0" in world.bans


async def test_a_reject_that_names_the_gate_and_its_attempt(rollout: Rollout, world: World) -> None:
    await start(rollout)
    await rollout.reach(Phase.GATED)
    assert "at attempt 1, not 2" in await rollout.refused("reject", gate="go", attempt=2)
    await rollout.say("reject", gate="go", attempt=1)
    assert (await rollout.result()).outcome is Outcome.REJECTED


async def test_pausing_before_the_first_step(rollout: Rollout, world: World) -> None:
    await start(rollout, True)
    await rollout.reach(Phase.GATED)
    await rollout.say("pause")
    await rollout.say("approve")
    await rollout.sleep(1_200)
    assert world.writes == []
    assert await rollout.refused("extend") == "no gate is waiting with a deadline"
    await rollout.say("resume")
    await rollout.soon(lambda now: now.canary_weight == 10)


async def test_an_extension_moves_the_gates_deadline(rollout: Rollout, world: World) -> None:
    await start(rollout)
    before = (await rollout.reach(Phase.GATED)).deadline_at
    assert (await rollout.say("extend", **{"for": "5m"})).message == "gate 'go' waits 5m longer"
    after = (await rollout.status()).deadline_at
    assert before is not None
    assert after is not None
    assert (after - before).total_seconds() == 300


async def test_approving_at_the_deadline_does_not_spin(live: Rollout) -> None:
    await live.start(make_submission(quick(**gated(length="1s", timeout="4s"))))
    status = await live.reach(Phase.GATED)
    await live.sleep_until(status.deadline_at, before=0.2)
    await live.send("approve")
    report = await live.result()
    # Whichever came first.
    assert report.outcome in (Outcome.PROMOTED, Outcome.ROLLED_BACK)
    assert len(await live.events()) < 26 * report.looks + 150
