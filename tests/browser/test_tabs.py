"""Many pages in one browser: those that nobody sees must not keep the next one from loading."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, Page, expect

from benchmarks.chromium import program
from coalmine.records import Phase
from coalmine.testing.fake_rollouts import FakeRollouts
from coalmine.testing.sample_rollouts import a_status
from tests.dashboard.served import served

PATIENCE = 60_000
"""Milliseconds for a page to show something: on a busy machine it takes its time."""
PAGES = 8
"""More than the six connections that browsers allow to one server."""
SHOW = """shown => {
    Object.defineProperty(document, "hidden", {configurable: true, get: () => !shown});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
"""What a browser does where another tab is chosen: without a window, all pages are shown."""
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(program() is None, reason="chromium is not installed: make setup tells how"),
]


async def test_pages_that_nobody_sees_hold_no_connection(chromium: Browser) -> None:
    fake = FakeRollouts()
    fake.put(a_status("checkout", phase=Phase.STEPPING))
    async with served(fake) as desk:
        context = await chromium.new_context()
        pages: list[Page] = []
        for _ in range(PAGES):
            page = await context.new_page()
            page.set_default_timeout(PATIENCE)
            await page.goto(desk.url)
            await page.locator("body[data-seen]").wait_for(state="attached")
            await page.evaluate(SHOW, False)
            pages.append(page)
        async with asyncio.timeout(PATIENCE / 1000):
            while desk.app.state.streams.open:
                await asyncio.sleep(0.01)
        fake.change("canary/production/checkout", phase=Phase.ROLLING_BACK)
        # Shown again it is up to date, and follows.
        await pages[0].evaluate(SHOW, True)
        row = pages[0].locator("#rows tr")
        await expect(row).to_contain_text("rolling back", timeout=PATIENCE)
        fake.change("canary/production/checkout", phase=Phase.HELD)
        await expect(row).to_contain_text("held", timeout=PATIENCE)
        # Whoever paused it is not followed because the page is shown.
        await pages[0].get_by_role("button", name="Pause live updates").click()
        await pages[0].evaluate(SHOW, False)
        await pages[0].evaluate(SHOW, True)
        await pages[0].get_by_role("button", name="Resume live updates").wait_for()
        async with asyncio.timeout(PATIENCE / 1000):
            while desk.app.state.streams.open:
                await asyncio.sleep(0.01)
        await context.close()
