"""A word of a person never queues behind a look, a shift, a hook or the ledger; and races end on one arm."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from coalmine.records import Cause, Outcome, Phase
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_submission, quick
from tests.workflows.world import GOOD, HARM, World


def rising(world: World) -> bool:
    generations = [write.generation for write in world.writes]
    return generations == sorted(set(generations))


@pytest.mark.parametrize("verb", ["rollback", "reject"])
async def test_a_rollback_does_not_wait_for_a_look(live: Rollout, world: World, verb: str) -> None:
    world.collect_gate = asyncio.Event()
    await live.start(make_submission(quick()))
    await live.happens(lambda: world.collecting > 0)
    await live.send(verb)
    await live.happens(lambda: world.canary == 0)
    assert world.collecting == 1
    world.collect_gate.set()
    report = await live.result()
    assert (report.cause, report.looks) == (Cause.HUMAN, 0)


async def test_a_rollback_does_not_wait_for_a_shift_and_the_late_shift_loses(live: Rollout, world: World) -> None:
    world.shift_gate, world.shift_gate_above = asyncio.Event(), 5
    await live.start(make_submission(quick()))
    await live.happens(lambda: world.shifting > 0)
    await live.send("rollback")
    await live.happens(lambda: len(world.writes) == 1)
    assert world.route == {"checkout-v1": 100.0}
    world.shift_gate.set()
    report = await live.result()
    assert report.outcome is Outcome.ROLLED_BACK
    assert world.route == {"checkout-v1": 100.0}
    assert rising(world)


async def test_promote_during_a_shift(live: Rollout, world: World) -> None:
    world.shift_gate, world.shift_gate_above = asyncio.Event(), 5
    await live.start(make_submission(quick()))
    await live.happens(lambda: world.shifting > 0)
    await live.send("promote", reason="now")
    await live.soon(lambda now: now.phase is Phase.PROMOTING)
    world.shift_gate.set()
    assert (await live.result()).outcome is Outcome.PROMOTED
    assert world.canary == 100
    assert rising(world)


@pytest.mark.parametrize("hook", ["prepare", "verify", "retire"])
async def test_a_rollback_does_not_wait_for_a_hook(live: Rollout, world: World, hook: str) -> None:
    world.hook_gate = asyncio.Event()
    promotion = {"bake": "0s", "rollback_window": "0s"}
    await live.start(make_submission(quick(hooks={hook: "http://127.0.0.1/x"}, promotion=promotion)))
    await live.until(lambda now: bool(world.hooks))
    await live.send("rollback")
    await live.happens(lambda: "1.1.0" in world.bans)
    world.hook_gate.set()
    assert (await live.result()).outcome is Outcome.ROLLED_BACK
    assert world.canary == 0


async def test_a_rollback_before_the_first_step(live: Rollout, world: World) -> None:
    gate: dict[str, Any] = {"approval": {}}
    await live.start(make_submission(quick(steps=[{"weight": 10, "for": "3s", "gate": gate}])))
    await live.reach(Phase.GATED)
    await live.send("rollback")
    report = await live.result()
    assert (report.outcome, world.writes) == (Outcome.ROLLED_BACK, [])


async def test_many_words_at_once(live: Rollout, world: World) -> None:
    await live.start(make_submission(quick()))
    await live.until(lambda now: now.looks == 1)
    verbs = ["pause", "resume", "extend", "approve", "promote", "rollback", "reject", "promote"]
    await asyncio.gather(*(live.send(verb, by=f"person-{number}") for number, verb in enumerate(verbs)))
    report = await live.result()
    assert report.outcome in (Outcome.ROLLED_BACK, Outcome.REJECTED)
    assert world.route == {"checkout-v1": 100.0}
    assert rising(world)
    assert [sequence for _, sequence in sorted(world.ledger)] == list(range(1, len(world.ledger) + 1))


async def test_the_first_order_stands_and_a_rollback_overrides_a_promotion(live: Rollout, world: World) -> None:
    world.shift_gate, world.shift_gate_above = asyncio.Event(), 99
    await live.start(make_submission(quick()))
    await live.until(lambda now: now.looks == 1)
    await live.send("promote")
    await live.happens(lambda: world.shifting > 0)
    await live.send("rollback")
    await live.happens(lambda: world.canary == 0)
    world.shift_gate.set()
    assert (await live.result()).outcome is Outcome.ROLLED_BACK
    assert world.route == {"checkout-v1": 100.0}
    assert rising(world)


@pytest.mark.parametrize("late", [False, True])
async def test_harm_found_as_the_promotion_is_ordered(live: Rollout, world: World, late: bool) -> None:
    world.judge = lambda number, stage: HARM if number > 1 else GOOD
    await live.start(make_submission(quick()))
    status = await live.until(lambda now: now.looks == 1)
    await live.sleep_until(status.next_look_at, before=0 if late else 0.1)
    try:
        await live.send("promote")
    except Exception:
        assert late
    report = await live.result()
    assert report.outcome is Outcome.ROLLED_BACK
    assert world.route == {"checkout-v1": 100.0}


# ------------------------------------------------------------------------------------------- cancellation


@pytest.mark.parametrize("phase", [Phase.ADMITTING, Phase.GATED, Phase.STEPPING, Phase.HELD, Phase.BAKING])
async def test_a_cancel_restores_and_closes_as_cancelled(live: Rollout, world: World, phase: Phase) -> None:
    gate = {"approval": {"on_timeout": "hold", "timeout": "2s"}} if phase in (Phase.GATED, Phase.HELD) else None
    world.fleet_silent = phase is Phase.ADMITTING
    steps = [{"weight": 10, "for": "2s"}, {"weight": 50, "for": "2s", "gate": gate}]
    await live.start(make_submission(quick(steps=steps)))
    await live.reach(phase)
    if phase is Phase.STEPPING:
        await live.until(lambda now: now.looks == 2)
    await live.handle.cancel(reason="wrong release")
    await live.cancelled()
    assert world.route == {"checkout-v1": 100.0}
    details = await live.status()
    assert (details.phase, details.outcome, details.cause) == (Phase.CLOSED, Outcome.ROLLED_BACK, Cause.HUMAN)
    if phase is not Phase.ADMITTING:
        assert world.kinds()[-2:] == ["closed", "archived"]
        (closed,) = (entry for entry in world.ledger.values() if entry.kind == "closed")
        assert closed.data["cancelled"] is True
        assert closed.reason == "the workflow was cancelled: wrong release"


async def test_a_cancel_in_the_rollback_window_leaves_the_canary(live: Rollout, world: World) -> None:
    await live.start(make_submission(quick()))
    await live.reach(Phase.WINDOW)
    await live.handle.cancel()
    await live.cancelled()
    assert world.canary == 100
    assert (await live.status()).outcome is Outcome.PROMOTED


async def test_a_cancel_does_not_lose_the_release_that_was_told_it_is_started(live: Rollout, world: World) -> None:
    spec = quick(hooks={"retire": "http://127.0.0.1:1/retire"}, promotion={"bake": "1s", "rollback_window": "1h"})
    await live.start(make_submission(spec))
    await live.reach(Phase.WINDOW)
    world.hook_gate = asyncio.Event()
    following = quick(
        arms={
            "baseline": {"version": "1.1.0", "backend": "checkout-v2"},
            "canary": {"version": "1.2.0", "backend": "checkout-v3"},
        }
    )
    submitted = asyncio.create_task(live.submit(make_submission(following)))
    await live.happens(lambda: bool(world.hooks))
    await live.handle.cancel(reason="enough")
    assert (await submitted).disposition == "started"
    world.hook_gate.set()
    status = await live.until(lambda now: now.version == "1.2.0")
    assert status.outcome is None


@pytest.mark.parametrize("hanging", ["look", "shift", "hook", "ban"])
async def test_a_cancel_does_not_wait(live: Rollout, world: World, hanging: str) -> None:
    gate = asyncio.Event()
    if hanging == "look":
        world.collect_gate = gate
    elif hanging == "shift":
        world.shift_gate, world.shift_gate_above = gate, 5
    else:
        world.hook_gate = gate
    hooks = {"prepare": "http://127.0.0.1/x"} if hanging == "hook" else {}
    await live.start(make_submission(quick(hooks=hooks)))
    busy = {"look": lambda: world.collecting, "shift": lambda: world.shifting, "hook": lambda: len(world.hooks)}
    if hanging == "ban":
        await live.until(lambda now: now.looks == 1)
        world.ban_gate = gate
        await live.send("rollback")
        await live.happens(lambda: world.banning > 0)
    else:
        await live.happens(lambda: busy[hanging]() > 0)
    await live.handle.cancel()
    if hanging != "ban":
        await live.happens(lambda: "1.1.0" in world.bans)
    gate.set()
    await live.cancelled()
    assert world.route == {"checkout-v1": 100.0}
    assert "1.1.0" in world.bans


async def test_a_second_cancel_does_not_stop_the_rollback(live: Rollout, world: World) -> None:
    await live.start(make_submission(quick()))
    await live.until(lambda now: now.looks == 1)
    world.shift_gate, world.shift_gate_above = asyncio.Event(), -1
    await live.handle.cancel()
    await live.happens(lambda: world.shifting > 0)
    await live.handle.cancel()
    await asyncio.sleep(0.1)
    world.shift_gate.set()
    await live.cancelled()
    assert world.route == {"checkout-v1": 100.0}
    assert rising(world)


async def test_a_cancel_during_the_rollback_and_during_the_flush(live: Rollout, world: World) -> None:
    await live.start(make_submission(quick()))
    await live.until(lambda now: now.looks == 1)
    world.ledger_down = True
    await live.send("rollback")
    await live.reach(Phase.CLOSED)
    await live.handle.cancel()
    await live.sleep(2)
    world.ledger_down = False
    await live.cancelled()
    assert world.route == {"checkout-v1": 100.0}
    assert [sequence for _, sequence in sorted(world.ledger)] == list(range(1, len(world.ledger) + 1))


async def test_a_cancel_while_the_newer_route_is_read(live: Rollout, world: World) -> None:
    await live.start(make_submission(quick()))
    await live.until(lambda now: now.looks == 1)
    world.generation, world.read_gate = 41, asyncio.Event()
    await live.happens(lambda: world.reading > 0)
    await live.handle.cancel()
    world.generation = 41
    await asyncio.sleep(0.1)
    world.read_gate.set()
    await live.cancelled()
    assert world.route == {"checkout-v1": 100.0}


async def test_a_cancel_before_anything_was_submitted(live: Rollout) -> None:
    await live.client.start_workflow(
        "Canary", {"service": "checkout", "environment": "test"}, id=live.id, task_queue="coalmine"
    )
    await live.handle.cancel()
    await live.cancelled()
    assert (await live.handle.describe()).status is WorkflowExecutionStatus.CANCELED
