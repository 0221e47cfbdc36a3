"""A hook that hangs costs the Temporal server little, and is given up when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio.client import Client

import worker
from activities import hooks
from coalmine.records import TASK_QUEUE, Notification, NotifyRequest
from coalmine.spec.channels import Notifier
from tests.activities.one_activity import HooksAndAMessage
from tests.worker.hanging_hooks import hanging_hooks, hook_at
from workflows.calls import HOOK


def test_two_beats_of_a_hook_may_be_lost() -> None:
    assert HOOK.heartbeat is not None
    assert 2 * max(worker.HOOK_BEAT_AT_MOST, timedelta(seconds=hooks.BEAT)) <= HOOK.heartbeat


async def test_the_call_of_a_hook_ends_when_it_is_cancelled(temporal_client: Client) -> None:
    async with hanging_hooks(temporal_client) as (url, asked):
        hook = hook_at(url, "hook")
        handle = await temporal_client.start_workflow(
            HooksAndAMessage.run,
            args=[
                [hook, hook],
                NotifyRequest(notification=Notification(title="approve it"), channels=[Notifier(kind="log")]),
            ],
            id="hooks-that-are-cancelled",
            task_queue=TASK_QUEUE,
            execution_timeout=timedelta(seconds=120),
        )
        calls = [await asyncio.wait_for(asked.get(), 60) for _ in range(2)]
        await handle.signal(HooksAndAMessage.tell)
        await handle.result()
        async with asyncio.timeout(60):
            while any(call.transport is not None and not call.transport.is_closing() for call in calls):
                await asyncio.sleep(0.05)
