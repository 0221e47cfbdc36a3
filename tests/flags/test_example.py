"""The example shop as a process: both ways through the checkout, flipped while it runs."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from activities.routers.flagd import FlagdRouter
from coalmine.local.processes import free_ports
from coalmine.spec.canary import Route

EXAMPLE = Path(__file__).parents[2] / "examples" / "flags"
OLD, NEW = ("old", "ana: paid in four steps\n"), ("new", "ana: paid at once\n")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[tuple[aiohttp.ClientSession, Path]]:
    flags = Path(shutil.copy(EXAMPLE / "flags.json", tmp_path))
    port = free_ports(1)[0]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE / "shop.py"), str(flags), str(port), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers={"x-user": "ana"}) as session:
            async with asyncio.timeout(60):
                while True:
                    try:
                        await checkout(session)
                        break
                    except aiohttp.ClientConnectionError:
                        await asyncio.sleep(0.05)
            yield session, flags
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def checkout(session: aiohttp.ClientSession) -> tuple[str, str]:
    async with session.get("/checkout") as answer:
        return answer.headers["x-variant"], await answer.text()


async def until(session: aiohttp.ClientSession, wanted: tuple[str, str]) -> None:
    async with asyncio.timeout(60):
        while await checkout(session) != wanted:
            await asyncio.sleep(0.01)


async def test_both_ways_are_walked_and_counted(shop: tuple[aiohttp.ClientSession, Path]) -> None:
    session, flags = shop
    route = Route.model_validate({"router": "flagd", "name": "new-checkout", "places": [str(flags)]})
    assert await checkout(session) == OLD
    await FlagdRouter().apply(route, {"old": 0.0, "new": 100.0}, 1)
    await until(session, NEW)
    flags.unlink()
    assert await checkout(session) == NEW
    async with session.get("/metrics") as answer:
        told = await answer.text()
    for variant in ("old", "new"):
        assert f'http_requests_total{{flag="new-checkout",variant="{variant}",code="200"}}' in told


async def test_a_rollback_flips_it_back(shop: tuple[aiohttp.ClientSession, Path]) -> None:
    session, flags = shop
    route = Route.model_validate({"router": "flagd", "name": "new-checkout", "places": [str(flags)]})
    await FlagdRouter().apply(route, {"old": 0.0, "new": 100.0}, 1)
    await until(session, NEW)
    await FlagdRouter().apply(route, {"old": 100.0, "new": 0.0}, 2, restoring=True)
    await until(session, OLD)
