"""The picture in docs/privacy.md: a release with encrypted payloads, as the Temporal UI shows it by the codec server.

``python -m benchmarks.pictures encrypted`` takes it.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from playwright.async_api import Page, ViewportSize, expect
from temporalio.client import Client

from benchmarks.chromium import browser
from coalmine.client import Coalmine
from coalmine.connection import Settings, connect_client
from coalmine.encryption import KEYS_VARIABLE, new_key
from coalmine.local import stack as local
from coalmine.local.demo_releases import HEALTHY, Release, as_yaml
from coalmine.local.processes import LocalStackError
from coalmine.records import Phase, RolloutStatus
from coalmine.searching import RolloutRef
from coalmine.spec import parse_spec

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "encrypted-history.png"
SIZE: ViewportSize = {"width": 1400, "height": 1000}
PATIENCE = 120.0
"""Seconds for the release, or for the UI."""
REASON = "takes the new tax rules back"
"""What a person says, and nobody may read in Temporal's database."""
RELEASE = Release(
    name="checkout with the new tax rules",
    version="1.1.0",
    expected="rolled_back",
    behaviour=HEALTHY,
    steps=[{"weight": 5, "for": "10m"}],
)


async def main() -> None:
    """Bring a stack with a key of its own up, release, take it back, and take the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = folder / "payload.keys"
        keys.write_text(new_key(datetime.now(UTC)) + "\n", encoding="utf-8")
        before = os.environ.get(KEYS_VARIABLE)
        os.environ[KEYS_VARIABLE] = str(keys)
        try:
            stack = await local.up(folder / "stack", [HEALTHY])
            link = await released(stack, str(keys))
            async with browser() as chromium:
                page = await chromium.new_page(viewport=SIZE, color_scheme="light", timezone_id="UTC", locale="en-GB")
                await take(page, link)
        finally:
            if before is None:
                del os.environ[KEYS_VARIABLE]
            else:
                os.environ[KEYS_VARIABLE] = before
            await asyncio.to_thread(local.down, folder / "stack")


async def released(stack: local.Stack, keys: str) -> str:
    """Release and take it back; the address of its history in the UI.

    Raises:
        LocalStackError: it did not end as it should, or Temporal can read what was said.
    """
    temporal = stack.temporal
    where = Settings(temporal["address"], temporal["namespace"], "the local stack", temporal["ui"], {}, keys)
    coalmine = Coalmine(await connect_client(where), where)
    baseline, canary = local.SLOTS
    await local.deploy(stack, canary, RELEASE.version, [RELEASE.behaviour], slow=HEALTHY.p99())
    spec = parse_spec(as_yaml(RELEASE.spec(stack, (local.FIRST_VERSION, baseline), canary)), "the picture's spec")
    receipt = await coalmine.start(spec, by="ci", reason=RELEASE.name)
    ref = RolloutRef(receipt.workflow_id, receipt.run_id)
    sent = False
    async with asyncio.timeout(PATIENCE):
        async for status in coalmine.follow(ref, every=0.2):
            if not isinstance(status, RolloutStatus):
                continue
            if status.looks >= 1 and not sent:
                handle = coalmine.temporal.get_workflow_handle(ref.workflow_id)
                await handle.signal("rollback", {"by": "ana@example.org", "reason": REASON})
                sent = True
            if status.phase is Phase.CLOSED:
                break
    if not isinstance(status, RolloutStatus) or status.outcome != RELEASE.expected:
        raise LocalStackError(f"the release must be {RELEASE.expected}, and is not: {status}")
    plain = await Client.connect(temporal["address"], namespace=temporal["namespace"])
    history = await plain.get_workflow_handle(ref.workflow_id, run_id=ref.run_id).fetch_history()
    if REASON.encode() in b"".join(event.SerializeToString() for event in history.events):
        raise LocalStackError("Temporal holds what was said in clear: nothing was encrypted")
    return str(coalmine.ui_link(receipt.workflow_id, receipt.run_id))


async def take(page: Page, link: str) -> None:
    """The input and the result, decrypted in the page."""
    page.set_default_timeout(PATIENCE * 1000)
    await page.goto(link)
    await page.get_by_title("Collapse Navigation").click()
    await expect(page.get_by_label("Result")).to_contain_text(REASON, timeout=PATIENCE * 1000)
    await expect(page.get_by_text("encrypted", exact=False)).to_have_count(0)
    await page.screenshot(path=PICTURE)
