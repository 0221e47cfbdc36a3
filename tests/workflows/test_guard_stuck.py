"""A rollout that no worker can go on with: Temporal reports it, and the guard and doctor tell people what helps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from coalmine.cli import _traffic_health
from coalmine.records import Notification
from tests.workflows.driving import Rollout
from tests.workflows.guarding import WorldRouter, guard_workers
from tests.workflows.serving import now
from tests.workflows.test_guard import Guarded
from tests.workflows.world import World

REPORTED_WITHIN = 180
"""Seconds: the server reports the fifth failure in a row, and between tries it waits ever longer."""


@workflow.defn(name="Canary")
class AnotherBuild:
    """Cannot go on with what the build before has written."""

    @workflow.run
    async def run(self, given: RawValue) -> None:
        raise RuntimeError("what was recorded is not what this build does")


@asynccontextmanager
async def _serving(workers: list[Worker]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        yield


async def _until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(REPORTED_WITHIN):
        while not met():
            await asyncio.sleep(0.1)


@pytest.mark.timeout(2 * REPORTED_WITHIN + 60)
async def test_a_rollout_whose_tasks_keep_failing_is_told_once_and_once_more_when_it_goes_on(
    temporal_client: Client, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.client = temporal_client
    router = WorldRouter(world)
    monkeypatch.setattr(_traffic_health, "Routers", lambda: {"envoy": router})
    environment = f"e{uuid4().hex[:8]}"
    rollout = Rollout(temporal_client, world, asyncio.sleep, now, tick=0.05)
    guarded = Guarded(temporal_client, world, router, rollout, environment, tmp_path / "ledger")

    def told() -> list[Notification]:
        mine = [request.notification for request in world.notices]
        return [one for one in mine if one.workflow_id == f"guard/{environment}"]

    async with _serving(guard_workers(temporal_client, world, router)):
        await guarded.start()
        await rollout.until(lambda status: status.canary_weight == 10)
        await guarded.turn_on()
        assert (await guarded.looks(1)).stuck == []
    other = guard_workers(
        temporal_client, world, router, canary=AnotherBuild, workflow_runner=UnsandboxedWorkflowRunner()
    )
    async with _serving(other):
        await _until(lambda: bool(told()))
        status = await guarded.looks(2)
        assert [one.stuck.workflow_id for one in status.stuck] == [rollout.id]
        [message] = told()
        assert (message.title, message.severity) == (f"{environment}/checkout: the rollout is stuck", "critical")
        run_id = (await rollout.handle.describe()).run_id
        of = f"--namespace {temporal_client.namespace} --workflow-id {rollout.id}"
        for words in (
            "what was recorded is not what this build does (worker ",
            "Start a worker of the build that ",
            f"temporal workflow show {of} --run-id {run_id}",
            f"temporal workflow terminate {of} ",
        ):
            assert words in message.text
        checks, _ = await _traffic_health.traffic(temporal_client)
        [(level, detail, mend)] = [told for told in checks if told[1].startswith(f"{environment}/checkout: ")]
        assert (level, "its workflow tasks keep failing" in detail) == ("error", True)
        assert "temporal workflow show" in mend
    async with _serving(guard_workers(temporal_client, world, router)):
        await _until(lambda: len(told()) == 2)
        assert told()[1].title == f"{environment}/checkout: no longer stuck"
        assert (await guarded.looks(1)).stuck == []
        assert [kind for kind in guarded.kinds() if kind != "guard_archived"] == ["guard_found", "guard_cleared"]
        await rollout.send("rollback")
        await rollout.result()
