"""A hook that hangs costs the Temporal server little, and is given up when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

from aiohttp import web
from aiohttp.test_utils import TestServer
from temporalio.client import Client

import worker
from activities import hooks
from coalmine.records import TASK_QUEUE, HookRequest, Notification, NotifyRequest
from coalmine.spec.channels import Notifier
from coalmine.worker_settings import WorkerSettings
from tests.activities.one_activity import HooksAndAMessage
from workflows.calls import HOOK


def test_two_beats_of_a_hook_may_be_lost() -> None:
    assert HOOK.heartbeat is not None
    assert 2 * max(worker.HOOK_BEAT_AT_MOST, timedelta(seconds=hooks.BEAT)) <= HOOK.heartbeat


async def test_the_call_of_a_hook_ends_when_it_is_cancelled(temporal_client: Client) -> None:
    asked: asyncio.Queue[web.Request] = asyncio.Queue()
    over = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        asked.put_nowait(request)
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
        hook = HookRequest(
            url=str(server.make_url("/")),
            hook="prepare",
            key="hook",
            rollout_id="r",
            service="checkout",
            environment="test",
        )
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
