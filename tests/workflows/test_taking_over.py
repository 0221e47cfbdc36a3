"""A run that a reset made in the middle, on the dev server: until it learns whose the route is, it writes nothing.

tests/faults/test_resets.py has what it learns, from real histories.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from coalmine.ownership import RESET_IN_WINDOW
from coalmine.records import Outcome, Phase
from tests.conftest import TemporalServer
from tests.workflows.driving import Rollout
from tests.workflows.serving import now, workers
from tests.workflows.specs import make_submission, quick
from tests.workflows.test_dev_server import GATED, start_gated, temporal
from tests.workflows.world import World, leave, take


async def _reset(live: Rollout, server: TemporalServer, run_id: str | None = None, task: int | None = None) -> None:
    """To the last task that is done, of the latest run or this one, or another, without what was said since."""
    run_id = run_id or (await live.handle.describe()).run_id
    done = await live.tasks(run_id)
    arguments = ["workflow", "reset", "-w", live.id, "-r", run_id, "--event-id", str(task or done[-1])]
    await temporal(server, *arguments, "--reason", "test", "--reapply-exclude", "All")


# At once: the next try would come too late.
AWAY = ApplicationError("away", type="TemporalUnavailable", next_retry_delay=timedelta(minutes=5))


async def test_a_run_that_lost_the_route_ends_where_its_history_is_long_enough_to_continue_as_new(
    forgetful_env: WorkflowEnvironment, world: World
) -> None:
    client = world.client = forgetful_env.client
    server = TemporalServer(client.service_client.config.target_host, client.namespace)
    async with AsyncExitStack() as stack:
        for worker in workers(client, world):
            await stack.enter_async_context(worker)
        live = Rollout(client, world, asyncio.sleep, now, tick=0.05)
        await start_gated(live)
        first = (await live.handle.describe()).run_id
        async with asyncio.timeout(60):
            while (await live.handle.describe()).run_id == first:
                await live.handle.signal("extend", {"by": "ana", "for": "1m"})
        world.recall_later = "test/checkout/v3/1"
        await _reset(live, server, run_id=first)
        report = await live.result()
        assert (report.outcome, world.canary) == (Outcome.BLOCKED, 10), report.reason


async def _cannot_tell(live: Rollout, world: World, server: TemporalServer) -> None:
    """At its gate, at 10 %, and it has asked in vain."""
    await start_gated(live)
    world.recall_error = AWAY
    await _reset(live, server)
    await live.until(lambda status: "recall_failed" in world.kinds())


async def test_while_nobody_can_tell_it_asks_again_and_writes_nothing(
    live: Rollout, world: World, temporal_env: TemporalServer
) -> None:
    await _cannot_tell(live, world, temporal_env)
    await live.say("approve")
    await live.until(lambda status: world.recalls == 3)
    assert world.canary == 10
    world.recall_error = None
    report = await live.result()
    assert report.outcome is Outcome.PROMOTED, report.reason
    assert [entry.reason for entry in world.ledger.values() if entry.kind == "recall_failed"] == [
        "TemporalUnavailable: away"
    ]
    told = [notice.notification for notice in world.notices if "what was before the reset" in notice.notification.title]
    assert [notice.severity for notice in told] == ["warning"]


async def test_a_rollback_does_not_wait_for_who_can_tell(
    live: Rollout, world: World, temporal_env: TemporalServer
) -> None:
    await _cannot_tell(live, world, temporal_env)
    await live.send("rollback")
    report = await live.result()
    assert report.outcome is Outcome.ROLLED_BACK, report.reason
    assert world.canary == 0


async def test_nor_for_an_answer_that_is_long_in_coming(
    live: Rollout, world: World, temporal_env: TemporalServer
) -> None:
    await _cannot_tell(live, world, temporal_env)
    world.recall_gate = gate = asyncio.Event()
    await live.until(lambda status: world.hanging == 1)
    await live.send("rollback")
    report = await live.result()
    gate.set()
    assert report.outcome is Outcome.ROLLED_BACK, report.reason
    assert world.canary == 0


async def test_what_nobody_will_ever_tell_is_not_waited_for(
    live: Rollout, world: World, temporal_env: TemporalServer
) -> None:
    await start_gated(live)
    world.recall_error = ApplicationError("sealed", type="HistoryUnreadable", non_retryable=True)
    await _reset(live, temporal_env)
    await live.until(lambda status: "recall_failed" in world.kinds())
    await live.say("approve")
    report = await live.result()
    assert report.outcome is Outcome.PROMOTED, report.reason
    assert world.recalls == 1


@pytest.mark.parametrize("taken_back", [True, False])
async def test_cancelled_in_its_window_while_it_asks_it_ends_as_what_is_true(
    live: Rollout, world: World, temporal_env: TemporalServer, taken_back: bool
) -> None:
    spec = quick(promotion={"bake": "1s", "rollback_window": "10m"})
    await live.start(make_submission(spec))
    await live.reach(Phase.WINDOW)
    leave(world, spec, 0 if taken_back else 100, ended="rolled_back" if taken_back else RESET_IN_WINDOW)
    world.recall_gate = asyncio.Event()
    await _reset(live, temporal_env)
    await live.until(lambda status: world.hanging == 1)
    await live.cancel(reason="test")
    world.recall_gate.set()
    await live.cancelled()
    [closed] = [entry.data["outcome"] for entry in world.ledger.values() if entry.kind == "closed"]
    assert closed == ("blocked" if taken_back else "promoted")
    assert world.canary == (0 if taken_back else 100)


async def test_in_a_rollback_in_steps_that_went_further_the_canary_gets_nothing_again(
    live: Rollout, world: World, temporal_env: TemporalServer
) -> None:
    spec = quick(promotion={"bake": "1s", "rollback_window": "10m"}, rollback={"over": "6s", "steps": 4})
    await live.start(make_submission(spec))
    await live.reach(Phase.WINDOW)
    await live.send("rollback")
    await live.until(lambda status: world.canary == 75)
    run_id = (await live.handle.describe()).run_id
    on_the_way = (await live.tasks(run_id))[-1]
    assert (await live.result()).outcome is Outcome.ROLLED_BACK
    before = len(world.writes)
    leave(world, spec, 0, ended="rolled_back")
    await _reset(live, temporal_env, run_id, on_the_way)
    assert (await live.result()).outcome is Outcome.ROLLED_BACK
    assert not any(write.weights.get("checkout-v2") for write in world.writes[before:])


@pytest.mark.parametrize(("later", "stays"), [(100.0, False), (5.0, True)])
async def test_reset_to_a_hold_for_drift_the_canary_keeps_no_more_than_hands_had_given_it(
    live: Rollout, world: World, temporal_env: TemporalServer, later: float, stays: bool
) -> None:
    spec = quick(steps=GATED, people={"sre": ["ana"]}, policy={"drift": "hold", "no_data_limit": "5m"})
    await live.start(make_submission(spec))
    await live.reach(Phase.GATED)
    world.route = {"checkout-v1": 95.0, "checkout-v2": 5.0}
    await live.reach(Phase.HELD)
    leave(world, spec, later)
    await _reset(live, temporal_env)
    await live.until(lambda status: world.recalls > 0 and (world.canary == 10 or stays))
    assert (world.canary == later) is stays
    await live.send("rollback")
    assert (await live.result()).outcome is Outcome.ROLLED_BACK


async def test_reset_to_the_call_of_its_last_hook_what_was_rolled_back_since_is_not_said_to_be_promoted(
    live: Rollout, world: World, temporal_env: TemporalServer
) -> None:
    spec = quick(hooks={"retire": "http://127.0.0.1:1/retire"}, promotion={"bake": "1s", "rollback_window": "1s"})
    await live.start(make_submission(spec))
    await live.reach(Phase.WINDOW)
    world.hook_gate = asyncio.Event()
    await live.happens(lambda: bool(world.hooks))
    run_id = (await live.handle.describe()).run_id
    calling = (await live.tasks(run_id))[-1]
    await live.send("rollback")
    assert (await live.result()).outcome is Outcome.ROLLED_BACK
    leave(world, spec, 0, ended="rolled_back")
    world.hook_gate.set()
    await _reset(live, temporal_env, run_id, calling)
    report = await live.result()
    assert (report.outcome, world.canary) == (Outcome.BLOCKED, 0), report.reason


@pytest.mark.parametrize("closed", [False, True], ids=["that had lost the route", "that was closed"])
async def test_a_late_write_of_a_rollout_that_the_reset_of_one_ended_is_written_over(
    live: Rollout, world: World, temporal_env: TemporalServer, closed: bool
) -> None:
    spec = quick(steps=GATED, people={"sre": ["ana"]})
    await start_gated(live)
    run_id = (await live.handle.describe()).run_id
    at_its_gate = (await live.tasks(run_id))[-1]
    await live.send("rollback")
    await live.end()
    world.lease, before = 2, len(world.writes)
    take(world, spec, 10)
    await _reset(live, temporal_env, run_id, (await live.tasks(run_id))[-1] if closed else at_its_gate)
    await live.happens(lambda: len(world.writes) > before)
    assert world.canary == 0
    # Its worker slept through the reset and wakes up now, and nothing stops its write.
    world.route = dict(world.left)
    await live.end()
    assert world.canary == 0
    told = [notice.notification.title for notice in world.notices]
    assert told.count("An older write came through") == 1
