"""What people see and do in the Temporal UI, in a real browser: the timeline, the page, the signal dialog."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from benchmarks.chromium import browser, program
from coalmine.client import Coalmine
from coalmine.connection import Settings
from coalmine.local.temporal import NAMESPACE, TemporalServer, start_temporal
from coalmine.records import Phase
from tests.workflows.conftest import Rollout, now, quick, workers
from tests.workflows.world import World, make_submission

PATIENCE = 60_000
"""Milliseconds for the UI to show something: on a busy machine it takes its time."""
GATED = [
    {"weight": 10, "for": "1s"},
    {"weight": 50, "for": "1s", "gate": {"name": "go", "approval": {"by": ["sre"]}}},
]
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(program() is None, reason="chromium is not installed: make setup tells how"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TemporalServer]:
    """A dev server with its UI."""
    server = await start_temporal(tmp_path_factory.mktemp("temporal"))
    yield server
    await asyncio.to_thread(server.process.stop)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """One browser for all tests here."""
    async with browser() as chromium:
        yield chromium


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """An empty page, so high that the timeline draws all of its rows at once."""
    page = await chromium.new_page(viewport={"width": 1400, "height": 2000}, color_scheme="light")
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    yield page
    await page.close()


@pytest_asyncio.fixture(loop_scope="module")
async def rollout(server: TemporalServer) -> AsyncIterator[Rollout]:
    """A rollout in a scripted world that waits at its gate; it is over after the test."""
    client = await Client.connect(server.address, namespace=NAMESPACE, data_converter=pydantic_data_converter)
    world = World(client=client)
    async with AsyncExitStack() as stack:
        for worker in workers(client, world):
            await stack.enter_async_context(worker)
        rollout = Rollout(client, world, asyncio.sleep, now, tick=0.05)
        spec = quick(steps=GATED, people={"sre": ["ana"]}, promotion={"bake": "1s", "rollback_window": "1s"})
        await rollout.start(make_submission(spec))
        await rollout.reach(Phase.GATED)
        yield rollout
        if (await rollout.status()).phase is not Phase.CLOSED:
            await rollout.send("rollback")
            await rollout.end()


async def address(server: TemporalServer, rollout: Rollout, tab: str) -> str:
    """The link people are given, at one of its tabs."""
    coalmine = Coalmine(rollout.client, Settings(server.address, NAMESPACE, "the test", server.ui, {}))
    link = coalmine.ui_link(rollout.id, (await rollout.status()).run_id)
    assert link is not None
    return link.removesuffix("timeline") + tab


async def test_the_timeline_reads_like_a_record(server: TemporalServer, rollout: Rollout, page: Page) -> None:
    await rollout.say("approve")
    await rollout.result()
    await page.goto(await address(server, rollout, "timeline"))
    for row in (
        "shift • shift 10 % to 1.1.0",
        "look 1 at 10 %: wait (stepping)",
        "collect • look 1 at 10 %: collect 1 s",
        "evaluate • look 1 at 10 %: evaluate",
        "look 2 at 10 %: wait (gate 'go' waits for approval)",
        "shift • shift 50 % to 1.1.0",
        "shift • shift 100 % to 1.1.0",
        "rollback window: one word restores the old version",
    ):
        await expect(page.get_by_text(row, exact=True).first).to_be_visible()
    await expect(page.get_by_role("button", name="Event approve")).to_be_visible()
    await expect(page.get_by_label("Result")).to_contain_text('"outcome": "promoted"')


async def test_the_page_says_how_it_stands_and_what_can_be_sent(
    server: TemporalServer, rollout: Rollout, page: Page
) -> None:
    await page.goto(await address(server, rollout, "user-metadata"))
    shown = page.frame_locator("#user-metadata-current-details").locator("main")
    await expect(shown.get_by_role("heading")).to_have_text("checkout 1.0.0 → 1.1.0: gated at 10 %")
    await expect(shown).to_contain_text("gate go waits for 1 of sre until")
    await expect(shown).to_contain_text("You can send: approve reject pause extend promote rollback with")
    verdicts, looks = shown.get_by_role("table").nth(0), shown.get_by_role("table").nth(1)
    await expect(verdicts.get_by_role("columnheader")).to_have_text(["metric", "verdict"])
    await expect(looks.get_by_role("columnheader")).to_have_text(["look", "at", "canary", "requests", "decision"])
    oldest = looks.get_by_role("row").last.get_by_role("cell")
    await expect(oldest.nth(0)).to_have_text("1")
    await expect(oldest.nth(2)).to_have_text("10 %")
    await expect(oldest.nth(3)).to_have_text("100")
    # The UI's style sheet leaves nothing between two columns: the text must keep its distance itself.
    widths = await looks.get_by_role("columnheader").evaluate_all(
        """heads => heads.slice(0, -1).map(head => {
            const text = document.createRange();
            text.setStart(head.firstChild, 0);
            text.setEnd(head.firstChild, head.textContent.trimEnd().length);
            return head.nextElementSibling.getBoundingClientRect().left - text.getBoundingClientRect().right;
        })"""
    )
    assert min(widths) >= 6


async def test_an_approval_from_the_signal_dialog_moves_the_rollout(
    server: TemporalServer, rollout: Rollout, page: Page
) -> None:
    await page.goto(await address(server, rollout, "timeline"))
    await page.get_by_role("button", name="More Actions").click()
    await page.get_by_role("menuitem", name="Send a Signal").click()
    dialog = page.get_by_role("dialog", name="Send a Signal")
    await dialog.get_by_test_id("signal-select-button").click()
    choice = dialog.get_by_role("option").filter(has_text="Open the gate that waits")
    await expect(choice).to_contain_text("approve")
    await expect(choice).to_contain_text('{"by": "ana", "reason": "looks fine"}')
    await choice.click()
    field = dialog.get_by_role("textbox").last
    await field.fill('{"by":"ana","reason":"ok"}')
    # When the field is left its text is laid out anew, which moves the button away from under a click.
    await field.blur()
    await expect(field).to_contain_text('"reason": "ok"')
    await dialog.get_by_test_id("confirm-modal-button").click()
    await expect(dialog).to_be_hidden()
    await rollout.until(lambda status: status.canary_weight >= 50)
    given = [entry for entry in (await rollout.decisions()).entries if entry.kind == "command"]
    assert [(entry.by, entry.data["verb"], entry.data["said"]) for entry in given] == [("ana", "approve", "ok")]
