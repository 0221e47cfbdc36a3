"""Each kind of work has places of its own: what hangs holds back nothing but its like."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import Client

import worker
from coalmine.records import TASK_QUEUE, Notification, NotifyRequest
from coalmine.spec.channels import Notifier
from coalmine.worker_settings import WorkerSettings
from tests.activities.one_activity import HooksAndAMessage
from tests.worker.hanging_hooks import hanging_hooks, hook_at


async def test_a_message_does_not_wait_for_hooks_that_hang(
    temporal_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ACTIVITY_SLOTS", 2)
    async with hanging_hooks(temporal_client) as (url, asked):
        hooks = [hook_at(url, f"hook {number}") for number in range(3)]
        message = NotifyRequest(notification=Notification(title="approve it"), channels=[Notifier(kind="log")])
        handle = await temporal_client.start_workflow(
            HooksAndAMessage.run,
            args=[hooks, message],
            id="hooks-and-a-message",
            task_queue=TASK_QUEUE,
            execution_timeout=timedelta(seconds=60),
        )
        for _ in range(2):
            await asyncio.wait_for(asked.get(), 30)
        await handle.signal(HooksAndAMessage.tell)
        await handle.result()


async def test_few_workflow_tasks_are_taken_up_at_once(temporal_client: Client) -> None:
    """One that waits for its turn in the worker times out there; in the server's queue it does not."""
    for serving in worker.build_workers(temporal_client, WorkerSettings()):
        assert serving.config()["max_concurrent_workflow_tasks"] == worker.WORKFLOW_TASKS <= 10
