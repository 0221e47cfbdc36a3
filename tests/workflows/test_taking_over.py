"""A run that a reset made in the middle, on the dev server: until it learns whose the route is, it writes nothing.

tests/faults/test_resets.py has what it learns, from real histories.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from coalmine.ownership import RESET_IN_WINDOW
from coalmine.records import Outcome, Phase
from tests.conftest import TemporalServer
from tests.workflows.driving import Rollout
from tests.workflows.serving import now, workers
from tests.workflows.specs import make_submission, quick
from tests.workflows.test_dev_server import start_gated, temporal
from tests.workflows.world import World, leave


async def _reset(live: Rollout, server: TemporalServer, run_id: str | None = None) -> None:
    """To the last task that is done, of the latest run or this one, without what was said since."""
    run_id = run_id or (await live.handle.describe()).run_id
    events = (await live.client.get_workflow_handle(live.id, run_id=run_id).fetch_history()).events
    done = [event.event_id for event in events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]
    arguments = ["workflow", "reset", "-w", live.id, "-r", run_id, "--event-id", str(done[-1]), "--reason", "test"]
    await temporal(server, *arguments, "--reapply-exclude", "Signal")


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
