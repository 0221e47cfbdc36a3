"""Servers for the scripted world, with a worker: one whose time skips, and the dev server in real time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from tests.workflows.driving import WITHIN, Rollout
from tests.workflows.serving import add_search_attributes, now, pass_time, workers
from tests.workflows.world import World


@pytest.fixture
def world() -> World:
    """A world where all goes well."""
    return World()


@pytest.fixture
async def env() -> AsyncIterator[WorkflowEnvironment]:
    """A server of this test's own: its clock jumps."""
    path = Path(sys.executable).with_name("temporal-test-server")
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(path),
        data_converter=pydantic_data_converter,
        test_server_startup_timeout=timedelta(seconds=WITHIN),
    )
    await add_search_attributes(environment.client)
    yield environment
    await environment.shutdown()


@pytest.fixture
async def rollout(env: WorkflowEnvironment, world: World) -> AsyncIterator[Rollout]:
    """A worker in the scripted world; the test starts the release."""
    world.client = env.client

    async def sleep(seconds: float) -> None:
        await pass_time(env, timedelta(seconds=seconds))

    async with AsyncExitStack() as stack:
        for worker in workers(env.client, world):
            await stack.enter_async_context(worker)
        yield Rollout(env.client, world, sleep, env.get_current_time, skips=True)


@pytest.fixture
async def live(temporal_client: Client, world: World) -> AsyncIterator[Rollout]:
    """The same on the dev server: real time, and races as they are."""
    world.client = temporal_client
    async with AsyncExitStack() as stack:
        for worker in workers(temporal_client, world):
            await stack.enter_async_context(worker)
        yield Rollout(temporal_client, world, asyncio.sleep, now, tick=0.05)
