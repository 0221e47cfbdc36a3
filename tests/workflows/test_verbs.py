"""Each verb in each phase, as a signal and as an update, by the table that docs/commands.md shows."""

from __future__ import annotations

from typing import Any

import pytest

from coalmine.records import Finding, Outcome, Phase, RolloutStatus, Verb
from tests.verb_table import NO, TABLE
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import GOOD, World

BETWEEN_TRIES = 6.6
"""Seconds after which a write that fails was tried six times, and the next try is six seconds away."""
EFFECTS = [(verb, phase) for verb, row in TABLE.items() for phase, cell in row.items() if not cell.startswith(NO)]


async def bring_to(rollout: Rollout, world: World, phase: Phase) -> RolloutStatus:
    """A rollout that stays in a phase."""
    steps: list[dict[str, Any]] = [{"weight": 10, "for": "20s"}]
    if phase is Phase.GATED:
        steps.append({"weight": 50, "for": "20s", "gate": {"name": "go", "approval": {}}})
    if phase is Phase.HELD:
        world.judge = lambda number, stage: (Finding.SIGNAL, "latency is worse") if number == 1 else GOOD
    world.fleet_silent = phase is Phase.ADMITTING
    if phase is Phase.PROMOTING:
        steps[0]["for"] = "10m"
    await rollout.start(make_submission(make_spec(steps=steps)))
    if phase is Phase.PROMOTING:
        await rollout.until(lambda now: now.looks == 1)
        world.shift_failing = "RouterUnreachable"
        await rollout.send("promote")
        await rollout.soon(lambda now: now.phase is phase)
        # Nothing cancels a try that ends at the same moment, which the time-skipping server never gets over.
        await rollout.sleep(BETWEEN_TRIES)
        return await rollout.status()
    if phase in (Phase.ROLLING_BACK, Phase.CLOSED):
        await rollout.until(lambda now: now.looks == 1)
        world.shift_failing = "RouterUnreachable" if phase is Phase.ROLLING_BACK else ""
        world.ledger_down = phase is Phase.CLOSED
        await rollout.send("rollback")
        return await rollout.soon(lambda now: now.phase is phase)
    if phase is Phase.STEPPING:
        return await rollout.until(lambda now: now.looks == 1)
    return await rollout.reach(phase)


@pytest.mark.parametrize("phase", list(Phase))
async def test_refusals_leave_all_as_it_was(rollout: Rollout, world: World, phase: Phase) -> None:
    before = await bring_to(rollout, world, phase)
    for verb, row in TABLE.items():
        if not row[phase].startswith(NO):
            continue
        reason = row[phase].removeprefix(NO)
        assert reason in await rollout.refused(verb)
        await rollout.send(verb, reason="again")
        listed = (await rollout.decisions()).refused[-1]
        assert (listed.verb, listed.by) == (verb, "ana")
        assert reason in listed.reason
    after = await rollout.status()
    assert (after.phase, after.paused, after.weights, after.deadline_at, after.step_ends_at) == (
        *(before.phase, before.paused, before.weights, before.deadline_at, before.step_ends_at),
    )


@pytest.mark.parametrize("way", ["signal", "update"])
@pytest.mark.parametrize(("verb", "phase"), EFFECTS)
async def test_effects(rollout: Rollout, world: World, verb: Verb, phase: Phase, way: str) -> None:
    before = await bring_to(rollout, world, phase)
    if way == "update":
        assert TABLE[verb][phase] in (await rollout.say(verb, reason="so")).message
    else:
        await rollout.send(verb, reason="so")
        log = await rollout.decisions()
        assert any(TABLE[verb][phase] in entry.reason for entry in log.entries if entry.kind == "command")
        assert not log.refused
    await EXPECT[verb](rollout, world, before)


async def approved(rollout: Rollout, world: World, before: RolloutStatus) -> None:
    await rollout.soon(lambda now: now.canary_weight == 50)


async def rolled_back(rollout: Rollout, world: World, before: RolloutStatus) -> None:
    world.shift_failing = ""
    report = await rollout.result()
    assert report.outcome is Outcome.ROLLED_BACK
    assert world.route == {"checkout-v1": 100.0}


async def rejected(rollout: Rollout, world: World, before: RolloutStatus) -> None:
    report = await rollout.result()
    assert report.outcome is Outcome.REJECTED
    assert world.route == {"checkout-v1": 100.0}


async def paused(rollout: Rollout, world: World, before: RolloutStatus) -> None:
    await rollout.sleep(90)
    now = await rollout.status()
    assert now.paused
    assert now.canary_weight == before.canary_weight
    assert now.looks > before.looks


async def resumed(rollout: Rollout, world: World, before: RolloutStatus) -> None:
    await rollout.soon(lambda now: now.phase is not Phase.HELD)
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def extended(rollout: Rollout, world: World, before: RolloutStatus) -> None:
    now = await rollout.status()
    first, later = before.deadline_at or before.step_ends_at, now.deadline_at or now.step_ends_at
    assert first is not None
    assert later is not None
    assert (later - first).total_seconds() == pytest.approx(1_800, abs=1)


async def promoted(rollout: Rollout, world: World, before: RolloutStatus) -> None:
    await rollout.soon(lambda now: now.canary_weight == 100)
    assert (await rollout.result()).outcome is Outcome.PROMOTED


EXPECT = {
    Verb.APPROVE: approved,
    Verb.REJECT: rejected,
    Verb.PAUSE: paused,
    Verb.RESUME: resumed,
    Verb.EXTEND: extended,
    Verb.PROMOTE: promoted,
    Verb.ROLLBACK: rolled_back,
}


@pytest.mark.parametrize("phase", [Phase.GATED, Phase.STEPPING, Phase.BAKING])
async def test_resume_after_a_pause(rollout: Rollout, world: World, phase: Phase) -> None:
    await bring_to(rollout, world, phase)
    await rollout.say("pause")
    assert (await rollout.say("pause")).message == "it was paused already"
    assert (await rollout.say("resume")).message == "resumed"
    assert not (await rollout.status()).paused
