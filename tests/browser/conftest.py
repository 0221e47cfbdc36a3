"""One Temporal server with its UI, and one browser, for all tests of a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from benchmarks.chromium import browser
from coalmine.local.temporal import TemporalServer, start_temporal


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TemporalServer]:
    """A dev server with its UI."""
    server = await start_temporal(tmp_path_factory.mktemp("temporal"))
    yield server
    await asyncio.to_thread(server.process.stop)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """One browser."""
    async with browser() as chromium:
        yield chromium
