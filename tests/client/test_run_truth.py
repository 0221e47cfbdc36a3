"""What a worker asks the server before it trusts what it holds."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.worker import Worker

from coalmine.run_truth import RunTruth

with workflow.unsafe.imports_passed_through():
    from tests.conftest import TemporalServer


@workflow.defn
class Waits:
    """Ends when it is told to."""

    def __init__(self) -> None:
        self._over = False

    @workflow.run
    async def run(self) -> None:
        """Wait."""
        await workflow.wait_condition(lambda: self._over)

    @workflow.signal
    def end(self) -> None:
        """End."""
        self._over = True


async def test_tasks_and_ends_are_as_the_server_has_them(bare_temporal: TemporalServer) -> None:
    client = await bare_temporal.connect()
    truth = RunTruth(client)
    handle = await client.start_workflow(Waits.run, id="waits", task_queue="waits", task_timeout=timedelta(seconds=5))
    run = handle.result_run_id or ""
    # Nobody works yet: the task is there, and has not begun.
    assert not await asyncio.to_thread(truth.is_completed, "waits", run, 3)
    async with Worker(client, task_queue="waits", workflows=[Waits]):
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(truth.is_completed, "waits", run, 3):
                await asyncio.sleep(0.05)
        assert not await asyncio.to_thread(truth.is_completed, "waits", run, 99)
        assert not await asyncio.to_thread(truth.is_closed, "waits", run)
        await handle.signal(Waits.end)
        await handle.result()
    assert await asyncio.to_thread(truth.is_closed, "waits", run)
    assert not await asyncio.to_thread(truth.is_completed, "nowhere", "", 3)
