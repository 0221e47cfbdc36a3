"""One word restores the route in every phase, whatever else is down. Judged by the router alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from coalmine.records import Finding, Outcome, Phase, SlotPlace
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import GOOD, UNDECIDED, World

GATE = {"name": "go", "approval": {"timeout": "10h"}}
SPEC: dict[str, Any] = {
    "steps": [{"weight": 10, "for": "20s"}, {"weight": 50, "for": "20s", "gate": GATE}],
    "promotion": {"bake": "1m", "rollback_window": "1h"},
    "notify": [{"kind": "log"}],
}


async def in_line(rollout: Rollout) -> None:
    rollout.world.slot = SlotPlace(position=1, waiting=1, limit=1)
    await rollout.start(make_submission(make_spec(**SPEC)))
    await rollout.until(lambda now: bool(now.unmet))


async def stepping(rollout: Rollout) -> None:
    rollout.world.judge = lambda number, stage: UNDECIDED
    await rollout.submit(make_submission(make_spec(**SPEC)))
    await rollout.until(lambda now: now.canary_weight == 10)


async def shifting(rollout: Rollout) -> None:
    """The first write is under way, and never answers."""
    rollout.world.shift_gate, rollout.world.shift_gate_above = asyncio.Event(), 0
    await rollout.submit(make_submission(make_spec(**SPEC)))
    await rollout.happens(lambda: rollout.world.shifting > 0)


async def gated(rollout: Rollout) -> None:
    await rollout.submit(make_submission(make_spec(**SPEC)))
    await rollout.reach(Phase.GATED)


async def held(rollout: Rollout) -> None:
    rollout.world.judge = lambda number, stage: (Finding.SIGNAL, "latency is worse")
    await rollout.submit(make_submission(make_spec(**SPEC)))
    await rollout.reach(Phase.HELD)


async def promoting(rollout: Rollout) -> None:
    """Promoted by hand, and the write of 100 % never answers."""
    await gated(rollout)
    rollout.world.shift_gate, rollout.world.shift_gate_above = asyncio.Event(), 50
    await rollout.say("promote", reason="now")
    await rollout.happens(lambda: rollout.world.shifting > 0)


async def baking(rollout: Rollout) -> None:
    await gated(rollout)
    await rollout.say("approve")
    await rollout.reach(Phase.BAKING)


async def promoted(rollout: Rollout) -> None:
    await baking(rollout)
    await rollout.reach(Phase.WINDOW, 10)


async def metrics_down(world: World) -> None:
    world.collect_error = "no answer"


async def ledger_down(world: World) -> None:
    world.ledger_down = True


async def fleet_down(world: World) -> None:
    world.fleet_silent = True


async def nobody_hears(world: World) -> None:
    world.notify_error = ApplicationError("no answer", type="ChannelUnreachable")


async def all_down(world: World) -> None:
    for down in (metrics_down, ledger_down, fleet_down, nobody_hears):
        await down(world)


PHASES = [in_line, shifting, stepping, gated, held, promoting, baking, promoted]
ALONE = [metrics_down, ledger_down, fleet_down, nobody_hears]


@pytest.mark.parametrize(
    ("phase", "down"),
    [(phase, down) for phase in PHASES for down in (None, all_down)]
    + [(phase, down) for phase in (stepping, promoted) for down in ALONE],
)
async def test_one_word_restores_the_route(
    rollout: Rollout,
    world: World,
    phase: Callable[[Rollout], Awaitable[None]],
    down: Callable[[World], Awaitable[None]] | None,
) -> None:
    world.judge = lambda number, stage: GOOD
    await phase(rollout)
    if down is not None:
        await down(world)
    await rollout.send("rollback", reason="now")
    if world.shift_gate is not None:
        # What hung wakes up once the route is restored, as a zombie: its write meets a newer generation.
        await rollout.happens(lambda: bool(world.writes) and world.writes[-1].restoring)
        world.shift_gate.set()
    report = await rollout.result()
    assert report.outcome is Outcome.ROLLED_BACK
    assert world.route.get("checkout-v1") == 100
    assert world.canary == 0
