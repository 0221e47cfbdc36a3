"""A reset copies a hook's call that was under way, and the server makes it before anybody knows what came since."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from temporalio.client import Client

from activities.hooks import run_hook
from coalmine.records import Outcome
from coalmine.spec.canary import CanarySpec
from tests.activities.conftest import Endpoint
from tests.activities.conftest import endpoint as endpoint
from tests.conftest import TemporalServer
from tests.workflows.driving import Rollout
from tests.workflows.serving import now, workers
from tests.workflows.specs import make_submission, quick
from tests.workflows.test_dev_server import temporal
from tests.workflows.world import World, leave

BUSY = web.Response(status=202)
BUSY_FOR_LONG = web.Response(status=202, headers={"Retry-After": "60"})


class RealHooks(World):
    """All is scripted but the hooks, which are really called."""

    @property
    def hook_activities(self) -> list[Any]:
        """The product's own."""
        return [run_hook]


@pytest.fixture
async def calling(temporal_client: Client) -> AsyncIterator[Rollout]:
    """A worker on the dev server that calls hooks over HTTP."""
    world = RealHooks(client=temporal_client)
    async with AsyncExitStack() as stack:
        for worker in workers(temporal_client, world):
            await stack.enter_async_context(worker)
        yield Rollout(temporal_client, world, asyncio.sleep, now, tick=0.05)


def heard(endpoint: Endpoint) -> Counter[str]:
    """How often each key came."""
    return Counter(one.headers["Idempotency-Key"] for one in endpoint.heard)


async def _to_the_call(
    calling: Rollout, endpoint: Endpoint, spec: CanarySpec, answer: web.Response = BUSY
) -> tuple[str, int]:
    """Until the hook is called, and says that it is still at it: the run, and a task in the middle of the call."""
    endpoint.answers = [answer]
    await calling.start(make_submission(spec))
    return await _in_the_middle(calling, endpoint)


async def _in_the_middle(calling: Rollout, endpoint: Endpoint) -> tuple[str, int]:
    await calling.until(lambda status: bool(endpoint.heard))
    run_id = (await calling.handle.describe()).run_id
    ordered = (await calling.tasks(run_id))[-1]
    # Whatever is said makes a task.
    await calling.send("anything")
    while (tasks := await calling.tasks(run_id))[-1] == ordered:
        await asyncio.sleep(0.05)
    return run_id, tasks[-1]


async def _reset(calling: Rollout, server: TemporalServer, run_id: str, task: int) -> None:
    arguments = ["workflow", "reset", "-w", calling.id, "-r", run_id, "--event-id", str(task)]
    await temporal(server, *arguments, "--reason", "test", "--reapply-exclude", "All")


async def test_the_old_version_is_not_retired_where_it_was_rolled_back_since(
    calling: Rollout, temporal_env: TemporalServer, endpoint: Endpoint
) -> None:
    spec = quick(hooks={"retire": endpoint.url}, promotion={"bake": "1s", "rollback_window": "1s"})
    run_id, task = await _to_the_call(calling, endpoint, spec)
    await calling.send("rollback")
    assert (await calling.result()).outcome is Outcome.ROLLED_BACK
    before = heard(endpoint)
    leave(calling.world, spec, 0, ended="rolled_back")
    await _reset(calling, temporal_env, run_id, task)
    report = await calling.result()
    assert (report.outcome, calling.world.canary) == (Outcome.BLOCKED, 0), report.reason
    assert heard(endpoint) == before


async def test_the_canary_is_not_taken_down_that_a_later_rollout_promoted(
    calling: Rollout, temporal_env: TemporalServer, endpoint: Endpoint
) -> None:
    spec = quick(hooks={"rolled_back": endpoint.url})
    endpoint.answers = [BUSY]
    await calling.start(make_submission(spec))
    await calling.until(lambda status: status.canary_weight == 10)
    await calling.send("rollback")
    run_id, task = await _in_the_middle(calling, endpoint)
    endpoint.answers = [web.Response()]
    assert (await calling.result()).outcome is Outcome.ROLLED_BACK
    before = heard(endpoint)
    calling.world.recall_later = "test/checkout/1.1.0/2"
    await _reset(calling, temporal_env, run_id, task)
    assert (await calling.result()).outcome is Outcome.ROLLED_BACK
    assert heard(endpoint) == before
    said = [entry.reason for entry in (await calling.decisions()).entries]
    assert "rolled_back: not called after the reset" in said


async def test_it_is_called_again_with_the_same_key_once_it_is_known_that_it_may(
    calling: Rollout, temporal_env: TemporalServer, endpoint: Endpoint
) -> None:
    spec = quick(hooks={"prepare": endpoint.url}, promotion={"bake": "1s", "rollback_window": "1s"})
    run_id, task = await _to_the_call(calling, endpoint, spec)
    calling.world.recall_gate = gate = asyncio.Event()
    await _reset(calling, temporal_env, run_id, task)
    await calling.until(lambda status: calling.world.hanging == 1)
    endpoint.answers = [web.Response()]
    before = len(endpoint.heard)
    failed: list[str] = []
    while "HookCopied" not in failed:
        failed = await _failures(calling)
    assert len(endpoint.heard) == before
    gate.set()
    report = await calling.result()
    assert report.outcome is Outcome.PROMOTED, report.reason
    assert len(endpoint.heard) == before + 1
    assert len(heard(endpoint)) == 1
    assert len({str(one.body) for one in endpoint.heard}) == 1, "a call has one body, whoever orders it"


async def _failures(calling: Rollout) -> list[str]:
    """Types of the errors that activities of the latest run ended with."""
    history = await calling.handle.fetch_history()
    failures = [event.activity_task_failed_event_attributes.failure for event in history.events]
    return [failure.application_failure_info.type for failure in failures]


@pytest.mark.parametrize("lost", [True, False])
async def test_one_that_the_run_orders_itself_waits_for_that_too(
    calling: Rollout, temporal_env: TemporalServer, endpoint: Endpoint, lost: bool
) -> None:
    spec = quick(hooks={"prepare": endpoint.url}, promotion={"bake": "1s", "rollback_window": "1s"})
    run_id, _ = await _to_the_call(calling, endpoint, spec, BUSY_FOR_LONG)
    history = await calling.handle.fetch_history()
    orders = [event.activity_task_scheduled_event_attributes for event in history.events]
    [ordering] = [order.workflow_task_completed_event_id for order in orders if order.activity_type.name == "run_hook"]
    calling.world.recall_gate = gate = asyncio.Event()
    calling.world.recall_later = "test/checkout/1.2.0/2" if lost else ""
    before, endpoint.answers = len(endpoint.heard), [web.Response()]
    await _reset(calling, temporal_env, run_id, ordering)
    await calling.until(lambda status: calling.world.hanging == 1)
    gate.set()
    report = await calling.result()
    assert report.outcome is (Outcome.BLOCKED if lost else Outcome.PROMOTED), report.reason
    assert len(endpoint.heard) == before + (not lost)
