"""Each kind of work has places of its own: what hangs holds back nothing but its like."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from temporalio.client import Client

import worker
from coalmine.records import TASK_QUEUE, HookRequest, Notification, NotifyRequest
from coalmine.spec.channels import Notifier
from coalmine.worker_settings import WorkerSettings
from tests.activities.one_activity import HooksAndAMessage


async def test_a_message_does_not_wait_for_hooks_that_hang(
    temporal_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ACTIVITY_SLOTS", 2)
    asked, over = asyncio.Semaphore(0), asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        asked.release()
        await over.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hang)
    async with AsyncExitStack() as stack:
        server = TestServer(app)
        await server.start_server()
        stack.push_async_callback(server.close)
        stack.callback(over.set)
        for serving in worker.build_workers(
            temporal_client, WorkerSettings(drain=timedelta(seconds=1)), workflows=[HooksAndAMessage]
        ):
            await stack.enter_async_context(serving)
        hooks = [
            HookRequest(
                url=str(server.make_url("/")),
                hook="prepare",
                key=f"hook {number}",
                rollout_id="r",
                service="checkout",
                environment="test",
            )
            for number in range(3)
        ]
        message = NotifyRequest(notification=Notification(title="approve it"), channels=[Notifier(kind="log")])
        handle = await temporal_client.start_workflow(
            HooksAndAMessage.run,
            args=[hooks, message],
            id="hooks-and-a-message",
            task_queue=TASK_QUEUE,
            execution_timeout=timedelta(seconds=60),
        )
        for _ in range(2):
            await asyncio.wait_for(asked.acquire(), 30)
        await handle.signal(HooksAndAMessage.tell)
        await handle.result()


async def test_few_workflow_tasks_are_taken_up_at_once(temporal_client: Client) -> None:
    """One that waits for its turn in the worker times out there; in the server's queue it does not."""
    for serving in worker.build_workers(temporal_client, WorkerSettings()):
        assert serving.config()["max_concurrent_workflow_tasks"] == worker.WORKFLOW_TASKS <= 10
