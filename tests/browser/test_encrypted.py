"""With payloads encrypted, Temporal's own files hold nothing people said or measured, and its UI still shows it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname

import pytest
from playwright.async_api import expect
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from benchmarks.chromium import browser, program
from coalmine.client import Coalmine
from coalmine.connection import Settings, connect_client
from coalmine.encryption import new_key
from coalmine.errors import PayloadUnreadable
from coalmine.local.temporal import NAMESPACE, TemporalServer, start_temporal
from coalmine.records import Outcome, Phase
from coalmine.searching import RolloutRef
from tests.workflows.driving import Rollout
from tests.workflows.serving import now, workers
from tests.workflows.specs import make_submission, quick
from tests.workflows.world import World

GATED = [
    {"weight": 10, "for": "1s"},
    {"weight": 50, "for": "1s", "gate": {"name": "go", "approval": {"by": ["sre"]}}},
]
REASON = "the-checkout-team-said-so"
REQUESTS = 735_190_246
"""Of the canary in each look: so long a number is nowhere by chance."""
TROUBLE = "router-7.internal.example does not answer"
SECRET = ("xenia.doe", REASON, "checkout-v2", "prometheus.internal.example", TROUBLE, str(REQUESTS), "canary/harmless")
"""Of a person, of what she said, of the spec, of an error, of a metric, and of what was found."""
WHENCE = f"{os.getpid()}@{gethostname()}"
"""The SDK tells Temporal so who it is; the server says the same of itself, as another process."""
CLEAR = ("canary/test/checkout", "approve", "CoalmineService", "1.1.0")
"""Ids, verbs and search attributes are not encrypted (docs/privacy.md)."""


@asynccontextmanager
async def promoted(folder: Path, keys: Path | None) -> AsyncIterator[tuple[TemporalServer, Rollout]]:
    """A rollout somebody approved, on a server of its own."""
    server = await start_temporal(folder, str(keys) if keys else None)
    try:
        where = Settings(server.address, NAMESPACE, "the test", server.ui, {}, str(keys) if keys else None)
        client = await connect_client(where)
        world = World(client=client, rate=REQUESTS)
        world.read_errors = [ApplicationError(TROUBLE, type="RouterUnreachable")]
        async with AsyncExitStack() as stack:
            for worker in workers(client, world):
                await stack.enter_async_context(worker)
            rollout = Rollout(client, world, asyncio.sleep, now, tick=0.05)
            spec = quick(
                steps=GATED,
                people={"sre": ["xenia.doe"]},
                promotion={"bake": "1s", "rollback_window": "1s"},
                sources={"prometheus": {"url": "http://prometheus.internal.example", "scrape": "1s", "flush": "1s"}},
            )
            await rollout.start(make_submission(spec))
            await rollout.reach(Phase.GATED)
            await rollout.say("approve", by="xenia.doe", reason=REASON)
            assert (await rollout.result()).outcome is Outcome.PROMOTED
            yield server, rollout
    finally:
        await asyncio.to_thread(server.stop)


def on_disk(folder: Path) -> bytes:
    """Everything the server keeps."""
    files = [path for path in folder.glob("temporal.db*") if path.is_file()]
    assert files
    return b"".join(path.read_bytes() for path in files)


async def test_without_keys_all_of_it_is_in_the_database(tmp_path: Path) -> None:
    """So that the test with keys can fail."""
    async with promoted(tmp_path, None):
        pass
    held = on_disk(tmp_path)
    assert [word for word in (*SECRET[:6], WHENCE, *CLEAR) if word.encode() not in held] == []


async def test_with_keys_none_of_it_is_in_the_database_and_the_ui_shows_it(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(new_key(datetime.now(UTC)))
    folder = tmp_path / "temporal"
    folder.mkdir()
    async with promoted(folder, keys) as (server, rollout):
        report = await rollout.result()
        plain = await Client.connect(server.address, namespace=NAMESPACE)
        blind = Coalmine(plain, Settings(server.address, NAMESPACE, "the test", server.ui, {}, None))
        with pytest.raises(PayloadUnreadable, match="set COALMINE_PAYLOAD_KEYS"):
            await blind.status(RolloutRef(rollout.id))
        if program() is not None:
            await _shown(server, rollout, report.rollout_id)
    held = on_disk(folder)
    assert [word for word in (*SECRET, WHENCE) if word.encode() in held] == []
    assert [word for word in CLEAR if word.encode() not in held] == []


async def _shown(server: TemporalServer, rollout: Rollout, rollout_id: str) -> None:
    coalmine = Coalmine(rollout.client, Settings(server.address, NAMESPACE, "the test", server.ui, {}))
    link = coalmine.ui_link(rollout.id, (await rollout.status()).run_id)
    assert link is not None
    async with browser() as chromium:
        page = await chromium.new_page(viewport={"width": 1400, "height": 2000}, color_scheme="light")
        await page.goto(link)
        await expect(page.get_by_label("Result")).to_contain_text('"outcome": "promoted"', timeout=60_000)
        await expect(page.get_by_text("shift • shift 10 % to 1.1.0", exact=True).first).to_be_visible(timeout=60_000)
        await page.close()
