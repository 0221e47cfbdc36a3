"""A worker whose hooks hang: they call a server that answers nothing before the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from aiohttp import web
from aiohttp.test_utils import TestServer
from temporalio.client import Client

import worker
from coalmine.records import HookRequest
from coalmine.worker_settings import WorkerSettings
from tests.activities.one_activity import HooksAndAMessage


@asynccontextmanager
async def hanging_hooks(client: Client) -> AsyncIterator[tuple[str, asyncio.Queue[web.Request]]]:
    """The address to call, and the calls that came, while a worker serves ``HooksAndAMessage``."""
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
            client, WorkerSettings(drain=timedelta(seconds=1)), workflows=[HooksAndAMessage]
        ):
            await stack.enter_async_context(serving)
        yield str(server.make_url("/")), asked


def hook_at(url: str, key: str) -> HookRequest:
    """One call."""
    return HookRequest(url=url, hook="prepare", key=key, rollout_id="r", service="checkout", environment="test")
