"""Holds: why, what ends them, and what happens when nobody says a word."""

from __future__ import annotations

from typing import Any

import pytest

from coalmine.records import Action, Cause, Finding, Outcome, Phase
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import GOOD, HARM, UNDECIDED, Judgement, World

UNSURE: Judgement = (Finding.HARM_UNSURE, "errors: a little worse, and no history")
RATIO: Judgement = (Finding.SAMPLE_RATIO, "the canary got 30 % instead of 10 %")
SIGNAL: Judgement = (Finding.SIGNAL, "latency is worse")


async def start(rollout: Rollout, steps: list[dict[str, Any]] | None = None, **policy: Any) -> None:
    changes: dict[str, Any] = {"steps": steps} if steps else {}
    await rollout.start(make_submission(make_spec(policy={"look": "10s", "max_extension": "5m", **policy}, **changes)))


@pytest.mark.parametrize("found", [UNSURE, RATIO, SIGNAL])
async def test_what_needs_a_human_holds_and_is_acknowledged_once(
    rollout: Rollout, world: World, found: Judgement
) -> None:
    world.judge = lambda number, stage: found if number in (2, 4) else GOOD
    await start(rollout)
    status = await rollout.reach(Phase.HELD)
    assert status.held_reason == found[1]
    await rollout.happens(lambda: any("a human is needed" in notice.notification.title for notice in world.notices))
    assert (await rollout.say("resume", reason="known")).phase is Phase.STEPPING
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    assert world.kinds().count("hold") == 1


async def test_harm_while_held_rolls_back(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: UNSURE if number < 6 else HARM
    await start(rollout)
    await rollout.reach(Phase.HELD)
    report = await rollout.result()
    assert (report.outcome, report.cause, report.looks) == (Outcome.ROLLED_BACK, Cause.ANALYSIS, 6)


async def test_a_hold_never_advances(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: UNSURE if number == 2 else GOOD
    await start(rollout)
    await rollout.reach(Phase.HELD)
    await rollout.sleep(1_000)
    status = await rollout.status()
    assert (status.phase, status.canary_weight) == (Phase.HELD, 10)
    assert status.looks > 90


@pytest.mark.parametrize(
    ("action", "later", "outcome", "cause"),
    [
        ("roll_back", GOOD, Outcome.ROLLED_BACK, Cause.DEADLINE),
        ("promote", GOOD, Outcome.PROMOTED, Cause.DEADLINE),
        ("promote", HARM, Outcome.ROLLED_BACK, Cause.ANALYSIS),
    ],
)
async def test_a_hold_nobody_answers(
    rollout: Rollout, world: World, action: str, later: Judgement, outcome: Outcome, cause: Cause
) -> None:
    world.judge = lambda number, stage: UNSURE if number == 2 else later if number > 2 else GOOD
    await start(rollout, held={"timeout": "10m", "action": action})
    await rollout.reach(Phase.HELD)
    report = await rollout.result()
    assert (report.outcome, report.cause) == (outcome, cause)
    assert world.canary == (100 if outcome is Outcome.PROMOTED else 0)


async def test_an_extension_moves_the_deadline_of_a_hold(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: UNSURE if number == 2 else GOOD
    await start(rollout, look="1m", held={"timeout": "10m"})
    before = (await rollout.reach(Phase.HELD)).deadline_at
    assert (await rollout.say("extend", **{"for": "1h"})).message == "the hold ends 1h later"
    await rollout.sleep(1_800)
    status = await rollout.status()
    assert status.phase is Phase.HELD
    assert before is not None
    assert status.deadline_at is not None
    assert (status.deadline_at - before).total_seconds() == 3_600


@pytest.mark.parametrize(("action", "outcome"), [("hold", Outcome.ROLLED_BACK), ("roll_back", Outcome.ROLLED_BACK)])
async def test_too_little_evidence_is_never_a_pass(
    rollout: Rollout, world: World, action: str, outcome: Outcome
) -> None:
    world.judge = lambda number, stage: UNDECIDED
    await start(rollout, inconclusive=action, held={"timeout": "10m"})
    await rollout.until(lambda now: now.step == 1)
    status = await rollout.until(lambda now: now.phase in (Phase.HELD, Phase.CLOSED), 10)
    assert status.phase is (Phase.HELD if action == "hold" else Phase.CLOSED)
    assert "inconclusive after 5m of extension: no harm is not shown yet for errors" in (
        status.held_reason or status.reason
    )
    report = await rollout.result()
    assert (report.outcome, report.cause) == (outcome, Cause.DEADLINE)
    assert max(write.weights.get("checkout-v2", 0) for write in world.writes) == 50


async def test_the_extension_begins_anew_when_resumed_late(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: UNDECIDED
    await start(rollout, look="1m")
    await rollout.reach(Phase.HELD, 10)
    # Longer than the extension: it must not be held again at once.
    await rollout.sleep(1_200)
    await rollout.say("resume")
    await rollout.sleep(240)
    assert (await rollout.status()).phase is Phase.STEPPING
    world.judge = lambda number, stage: GOOD
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_paused_is_not_inconclusive(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: UNDECIDED
    await start(rollout, [{"weight": 10, "for": "1m"}])
    await rollout.until(lambda now: now.looks == 1)
    await rollout.say("pause")
    await rollout.sleep(900)
    assert (await rollout.status()).phase is Phase.STEPPING
    await rollout.say("resume")
    assert (await rollout.status()).phase is Phase.HELD


async def test_a_hold_while_paused_ends_both_at_resume(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: UNSURE if number == 3 else GOOD
    await start(rollout)
    await rollout.until(lambda now: now.looks == 1)
    await rollout.say("pause")
    await rollout.reach(Phase.HELD)
    await rollout.say("resume")
    assert not (await rollout.status()).paused
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_promote_goes_past_everything_but_harm(rollout: Rollout, world: World) -> None:
    gate = {"approval": {"timeout": "1h"}}
    steps = [{"weight": 10, "for": "1m"}, {"weight": 20, "for": "1h", "gate": gate, "min_requests": 10**6}]
    world.judge = lambda number, stage: UNDECIDED
    await start(rollout, steps)
    await rollout.until(lambda now: now.looks == 1)
    await rollout.say("promote", reason="hotfix")
    await rollout.reach(Phase.BAKING)
    assert [write.weights.get("checkout-v2", 0) for write in world.writes] == [10, 100]
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    override = next(entry for entry in world.ledger.values() if entry.kind == "override")
    assert (override.by, override.reason) == ("ana", "promoted by ana: hotfix")


async def test_promote_is_refused_while_a_guardrail_fails(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: UNSURE if number == 2 else GOOD
    world.failing_verdict = True
    await start(rollout)
    await rollout.until(lambda now: bool(now.verdicts) and now.verdicts[0].verdict == "fail")
    refused = await rollout.refused("promote")
    assert refused == "a guardrail fails (errors): promote is refused; roll back, or wait for it to recover"
    assert world.canary == 10


async def test_promote_ends_a_hold_that_is_unsure(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: UNSURE if stage == "compare" else GOOD
    await start(rollout)
    await rollout.reach(Phase.HELD)
    await rollout.say("promote", reason="we know")
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_a_hold_in_the_bake_goes_back_to_the_bake(rollout: Rollout, world: World) -> None:
    found = {"bake": UNSURE}
    world.judge = lambda number, stage: found.get(stage, GOOD)
    await start(rollout)
    status = await rollout.reach(Phase.HELD)
    assert status.canary_weight == 100
    assert "all traffic is on the canary already" in await rollout.refused("promote")
    assert "past its gates" in await rollout.refused("reject")
    found["bake"] = GOOD
    assert (await rollout.say("resume")).phase is Phase.BAKING
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_a_hold_in_the_bake_that_nobody_answers_may_promote(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: UNSURE if stage == "bake" else GOOD
    await start(rollout, held={"timeout": "10m", "action": "promote"})
    report = await rollout.result()
    assert (report.outcome, report.cause) == (Outcome.PROMOTED, Cause.DEADLINE)
    assert world.kinds().count("baking") == 1
    assert [write.weights.get("checkout-v2", 0) for write in world.writes] == [10, 50, 100]


async def test_a_policy_never_promotes_without_data(rollout: Rollout, world: World) -> None:
    await start(rollout, no_data="hold", no_data_limit="1m", held={"timeout": "10m", "action": "promote"})
    await rollout.until(lambda now: now.looks == 1)
    world.silent = True
    report = await rollout.result()
    assert (report.outcome, report.cause) == (Outcome.ROLLED_BACK, Cause.DEADLINE)
    assert world.canary == 0
    assert [write.restoring for write in world.writes] == [False, True]


async def test_advice_to_hold_ends_it(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: UNSURE
    await rollout.start(make_submission(advise=True))
    report = await rollout.result()
    assert (report.outcome, report.advice, report.exit) == (None, Action.HOLD, 8)
    assert world.writes == []
