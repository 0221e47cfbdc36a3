"""Rollouts of many looks: continue-as-new carries everything, in every phase."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from coalmine.records import Finding, Outcome, Phase
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.windows import tiles
from tests.workflows.world import GOOD, World


async def start(rollout: Rollout, steps: list[dict[str, Any]], **promotion: Any) -> None:
    spec = make_spec(steps=steps, promotion={"bake": "1m", "rollback_window": "1m", **promotion})
    await rollout.start(make_submission(spec))


async def test_a_long_rollout_is_one_record(rollout: Rollout, world: World) -> None:
    await start(rollout, [{"weight": 10, "for": "50m"}, {"weight": 50, "for": "50m"}])
    first = await rollout.until(lambda now: now.looks >= 2)
    report = await rollout.result(step=300)
    assert (report.outcome, report.looks) == (Outcome.PROMOTED, len(world.evaluations))
    assert (await rollout.handle.describe()).run_id != first.run_id
    assert [sequence for _, sequence in sorted(world.ledger)] == list(range(1, len(world.ledger) + 1))
    assert len({name for name, _ in world.ledger}) == 1
    compare = sum(look.stage == "compare" for look in world.evaluations)
    # A slow machine is late for a look, whose window is longer then: so many looks fewer, and no time that none saw.
    assert compare > 300
    windows = world.windows["errors"][:compare]
    assert tiles(windows)
    assert windows[-1].end - windows[0].start >= timedelta(minutes=99)
    evidence = [look.evidence.looks if look.evidence else 0 for look in world.evaluations[:compare]]
    assert evidence == list(range(compare))
    assert [write.generation for write in world.writes] == [1, 2, 3]
    # People hear of each turn once, however many runs it took.
    keys = [notice.notification.key for notice in world.notices]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("phase", [Phase.GATED, Phase.HELD, Phase.BAKING])
async def test_each_phase_survives_a_new_run(rollout: Rollout, world: World, phase: Phase) -> None:
    gate = {"name": "go", "approval": {"timeout": "4h"}} if phase is Phase.GATED else None
    if phase is Phase.HELD:
        world.judge = lambda number, stage: (Finding.SIGNAL, "slow") if number == 1 else GOOD
    steps = [{"weight": 10, "for": "1m"}, {"weight": 50, "for": "1m", "gate": gate}]
    await start(rollout, steps, bake="50m" if phase is Phase.BAKING else "1m")
    first = await rollout.reach(phase)
    await rollout.send("approve", by="")
    status = await rollout.until(lambda now: now.run_id != first.run_id, 60)
    assert status.phase is phase
    assert status.deadline_at == first.deadline_at
    assert status.canary_weight == first.canary_weight
    assert len(status.refused) == 1
    assert status.looks > 100
    if phase is Phase.HELD:
        await rollout.say("rollback")
        assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
        assert world.route == {"checkout-v1": 100.0}
        return
    if phase is Phase.GATED:
        await rollout.say("approve")
    assert (await rollout.result(step=300)).outcome is Outcome.PROMOTED


async def test_a_restore_that_is_refused_for_hours_survives_a_new_run(rollout: Rollout, world: World) -> None:
    await start(rollout, [{"weight": 10, "for": "2h"}])
    first = await rollout.until(lambda now: now.looks >= 2)
    world.shift_failing, world.shift_failing_final = "RouteRejected", True
    await rollout.send("rollback", reason="bad")
    status = await rollout.until(lambda now: now.run_id != first.run_id, 300)
    assert (status.phase, status.restored) == (Phase.ROLLING_BACK, False)
    world.shift_failing = ""
    report = await rollout.result()
    assert (report.outcome, report.reason) == (Outcome.ROLLED_BACK, "rollback by ana: bad")
    told = [notice.notification.title for notice in world.notices].count("Rollback is not confirmed yet")
    assert told <= 4


async def test_looks_cost_few_events_and_nothing_spins(rollout: Rollout, world: World) -> None:
    await start(rollout, [{"weight": 10, "for": "15m"}])
    await rollout.until(lambda now: now.looks == 2)
    before = len(await rollout.events())
    await rollout.until(lambda now: now.looks >= 82, 100)
    looks = (await rollout.status()).looks - 2
    assert (len(await rollout.events()) - before) / looks <= 18.5
    await rollout.say("pause")
    await rollout.sleep(300)
    await rollout.until(lambda now: now.looks >= looks + 30)
    assert (len(await rollout.events()) - before) / ((await rollout.status()).looks - 2) <= 19
