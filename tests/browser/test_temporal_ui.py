"""What people see and do in the Temporal UI, in a real browser: the timeline, the page, the signal dialog."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect
from playwright.async_api import TimeoutError as PlaywrightTimeout
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from benchmarks.chromium import program
from coalmine.client import Coalmine
from coalmine.connection import Settings
from coalmine.local.temporal import NAMESPACE, TemporalServer
from coalmine.records import Cause, Outcome, Phase
from coalmine.ui_views import link, views
from tests.workflows.driving import Rollout
from tests.workflows.serving import now, workers
from tests.workflows.specs import quick
from tests.workflows.world import World

PATIENCE = 60_000
"""Milliseconds for the UI to show something: on a busy machine it takes its time."""
GATED = [
    {"weight": 10, "for": "1s"},
    {"weight": 50, "for": "1s", "gate": {"name": "go", "approval": {"by": ["sre"]}}},
]
AT_GATE = r"look \d+ at 10 %: wait \(gate 'go' waits for approval\)"
"""The row of a look that waits for the gate; which one does is the clock's."""
DESCRIBED = {"approve": "Open the gate that waits", "rollback": "Restore the route as it was"}
"""How the dialog's list describes a verb."""
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(program() is None, reason="chromium is not installed: make setup tells how"),
]


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """An empty page of somebody who never was here, so high that the timeline draws all of its rows at once."""
    context = await chromium.new_context(
        viewport={"width": 1400, "height": 2000},
        color_scheme="light",
    )
    page = await context.new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    yield page
    await context.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(server: TemporalServer) -> Client:
    """A client of that server."""
    return await Client.connect(server.address, namespace=NAMESPACE, data_converter=pydantic_data_converter)


@pytest_asyncio.fixture(loop_scope="module")
async def world(client: Client) -> AsyncIterator[World]:
    """A scripted world with its workers; what still runs in it afterwards is rolled back."""
    world = World(client=client)
    async with AsyncExitStack() as stack:
        for worker in workers(client, world):
            await stack.enter_async_context(worker)
        yield world
        rollout = Rollout(client, world, asyncio.sleep, now, tick=0.05)
        if await running(rollout):
            await rollout.send("rollback")
            await rollout.end()


async def running(rollout: Rollout) -> bool:
    """Whether it is open; a test that failed before its start has none, and its own failure is to be seen."""
    try:
        return (await rollout.status()).phase is not Phase.CLOSED
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False


async def address(server: TemporalServer, rollout: Rollout, tab: str) -> str:
    """The link people are given, at one of its tabs."""
    coalmine = Coalmine(rollout.client, Settings(server.address, NAMESPACE, "the test", server.ui, {}))
    link = coalmine.ui_link(rollout.id, (await rollout.status()).run_id)
    assert link is not None
    return link.removesuffix("timeline") + tab


async def test_the_timeline_reads_like_a_record(
    server: TemporalServer, client: Client, world: World, page: Page
) -> None:
    rollout = await start(server, client, world, version="1.3.0")
    await waits_at_gate(rollout)
    await rollout.say("approve")
    await rollout.result()
    await page.goto(await address(server, rollout, "timeline"))
    for row in (
        "shift • shift 10 % to 1.3.0",
        r"look \d+ at \d+ %: wait \(stepping\)",
        r"collect • look 1 at 10 %: collect \d+ s",
        "evaluate • look 1 at 10 %: evaluate",
        AT_GATE,
        "shift • shift 50 % to 1.3.0",
        "shift • shift 100 % to 1.3.0",
        "rollback window: one word restores the old version",
    ):
        await expect(page.get_by_text(re.compile(f"^{row}$")).first).to_be_visible()
    await expect(page.get_by_role("button", name="Event approve")).to_be_visible()
    await expect(page.get_by_label("Result")).to_contain_text('"outcome": "promoted"')


async def test_approved_from_an_empty_page_by_somebody_who_knows_the_ui_only(
    server: TemporalServer, client: Client, world: World, page: Page
) -> None:
    """Find it by a saved view, read its page, approve by the signal dialog: promoted, by the route and the record."""
    view = views()[0]
    await page.goto(link(server.ui, NAMESPACE, view, keep=True))
    await expect(page.get_by_text("0 Workflows", exact=True)).to_be_visible()
    rollout = await start(server, client, world)
    await page.get_by_role("button", name="Refresh").click()
    row = page.get_by_role("link", name=rollout.id)
    await expect(row.first).to_be_visible()
    # The link has kept the view: it is there when the list is opened anew.
    await page.goto(f"{server.ui}/namespaces/{NAMESPACE}/workflows")
    await page.get_by_role("button", name="Saved Views").click()
    await page.get_by_role("menuitem", name=view.name).click()
    await page.wait_for_url("**/workflows?query=*")
    await expect(page.get_by_text("1 Workflow", exact=True)).to_be_visible()
    await row.first.click()
    await page.wait_for_url(f"**/{quote(rollout.id, safe='')}/**")
    await page.get_by_test_id("user-metadata-tab").click()
    await expect(page.frame_locator("iframe").first.locator("main")).to_have_text("checkout 1.0.0 → 1.1.0")
    shown = details(page)
    await expect(shown.get_by_role("heading")).to_have_text("Approve or reject: gate ‘go’ waits, at 10 %")
    await expect(shown).to_contain_text("wanted: 1 of sre (ana)")
    await expect(shown).to_contain_text("without a word it will roll back at")
    await check_tables(shown)
    given = await copied(shown, "approve")
    assert json.loads(given) == {"by": "your name", "reason": "looks fine", "gate": "go", "attempt": 1}
    await send_signal(page, "approve", given.replace("your name", "ana"))
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    assert world.canary == 100
    said = [entry for entry in (await rollout.decisions()).entries if entry.kind == "command"]
    assert [(entry.by, entry.data["verb"], entry.data["said"]) for entry in said] == [("ana", "approve", "looks fine")]
    assert said[0].data["verified"] is False
    # The dialog may stay over a page whose workflow ended just as the signal was answered.
    await page.reload()
    await expect(page.get_by_text("COMPLETED").first).to_be_visible()
    await expect(details(page).get_by_role("heading")).to_have_text("Promoted: nothing to do")


async def test_a_wrong_input_is_shown_and_the_way_back_is_one_signal(
    server: TemporalServer, client: Client, world: World, page: Page
) -> None:
    """The second release: what cannot be used is on the page with its reason, and a rollback restores the route."""
    rollout = await start(server, client, world, version="1.2.0")
    await page.goto(await address(server, rollout, "user-metadata"))
    shown = details(page)
    await send_signal(page, "approve", '"garbage"')
    dialog = page.get_by_role("dialog", name="Send a Signal")
    for _ in range(5):
        with suppress(AssertionError):
            await expect(dialog).to_be_hidden(timeout=10_000)
            break
        # What a server on a busy machine answers: it was not sent.
        if await dialog.get_by_text("Workflow is busy").count():
            await dialog.get_by_test_id("confirm-modal-button").click()
    await expect(dialog).to_be_hidden()
    await rollout.until(lambda status: len(status.refused) == 1)
    await page.keyboard.press("r")
    await expect(shown).to_contain_text("approve: input must be a JSON object, not ‘garbage’")
    assert (await rollout.status()).phase is Phase.GATED
    given = await copied(shown, "rollback")
    await send_signal(page, "rollback", given.replace("your name", "bo").replace("why", "5xx on pay"))
    report = await rollout.result()
    assert (report.outcome, report.cause, report.reason) == (
        Outcome.ROLLED_BACK,
        Cause.HUMAN,
        "rollback by bo: 5xx on pay",
    )
    assert world.route == {"checkout-v1": 100.0, "checkout-v2": 0.0} or world.route == {"checkout-v1": 100.0}
    assert world.writes[-1].restoring
    entries = (await rollout.decisions()).entries
    refused = [entry for entry in entries if entry.kind == "refused"]
    ordered = [entry for entry in entries if entry.kind == "command"]
    assert [(entry.data["verb"], entry.data["input"]) for entry in refused] == [("approve", '"garbage"')]
    assert [(entry.by, entry.data["verb"]) for entry in ordered] == [("bo", "rollback")]
    # The dialog may stay over a page whose workflow ended just as the signal was answered.
    await page.reload()
    await expect(page.get_by_text("COMPLETED").first).to_be_visible()
    await expect(details(page).get_by_role("heading")).to_have_text("Rolled back: nothing left to do here")


async def waits_at_gate(rollout: Rollout) -> None:
    """Until the history has a wait for the gate: a look that is due at once, on a busy machine, begins without one."""
    async with asyncio.timeout(PATIENCE / 1000):
        while True:
            history = await rollout.handle.fetch_history()
            said = [event.user_metadata.summary.data for event in history.events]
            if any(re.fullmatch(AT_GATE, json.loads(summary)) for summary in said if summary):
                return
            await asyncio.sleep(0.2)


async def start(server: TemporalServer, client: Client, world: World, version: str = "1.1.0") -> Rollout:
    """A release started as CI starts one, up to its gate."""
    rollout = Rollout(client, world, asyncio.sleep, now, tick=0.05)
    arms = {
        "baseline": {"version": "1.0.0", "backend": "checkout-v1"},
        "canary": {"version": version, "backend": "checkout-v2"},
    }
    promotion = {"bake": "1s", "rollback_window": "1s"}
    spec = quick(steps=GATED, people={"sre": ["ana"]}, arms=arms, promotion=promotion)
    coalmine = Coalmine(client, Settings(server.address, NAMESPACE, "the test", server.ui, {}))
    receipt = await coalmine.start(spec, by="ci", automated=True, reason="new tax rules", within=timedelta(seconds=60))
    assert receipt.disposition == "started", receipt
    await rollout.reach(Phase.GATED)
    return rollout


def details(page: Page) -> Locator:
    """The page inside the tab User Metadata."""
    return page.frame_locator("#user-metadata-current-details").locator("main")


async def check_tables(shown: Locator) -> None:
    """Verdicts and looks, in columns that keep their distance."""
    verdicts, looks = shown.get_by_role("table").nth(0), shown.get_by_role("table").nth(1)
    await expect(verdicts.get_by_role("columnheader")).to_have_text(["metric", "verdict"])
    await expect(looks.get_by_role("columnheader")).to_have_text(["look", "at", "canary", "requests", "decision"])
    newest = looks.get_by_role("row").nth(1).get_by_role("cell")
    await expect(newest.nth(0)).to_have_text(re.compile("[0-9]+"))
    await expect(newest.nth(2)).to_have_text("10 %")
    await expect(newest.nth(3)).to_have_text("100")
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


async def copied(shown: Locator, verb: str) -> str:
    """The input that stands under a verb, as it is to be copied."""
    return (
        await shown.locator("code").filter(has_text='{"by"').nth(0 if verb == "approve" else -1).inner_text()
    ).strip()


async def send_signal(page: Page, verb: str, given: str) -> None:
    """The signal dialog, filled in and sent."""
    for left in (2, 1, 0):
        dialog = await fill_signal(page, verb, given)
        try:
            await dialog.get_by_test_id("confirm-modal-button").click(timeout=20_000)
            return
        except PlaywrightTimeout:
            # When the page is drawn anew under the dialog, the dialog is gone, and nothing was sent.
            if not left or await dialog.count():
                raise


async def fill_signal(page: Page, verb: str, given: str) -> Locator:
    """The signal dialog, by mouse and keyboard."""
    # The verbs come with the page: before it is there, the dialog has no list of them. The UI asks for it once.
    for _ in range(3):
        with suppress(PlaywrightTimeout):
            await details(page).get_by_role("heading").wait_for(timeout=20_000)
            break
        await page.reload()
    await expect(details(page).get_by_role("heading")).to_be_visible()
    await page.get_by_role("button", name="More Actions").click()
    await page.get_by_role("menuitem", name="Send a Signal").click()
    dialog = page.get_by_role("dialog", name="Send a Signal")
    await dialog.get_by_test_id("signal-select-button").click()
    choice = dialog.get_by_role("option").filter(has_text=DESCRIBED[verb])
    await expect(choice).to_contain_text(verb)
    await expect(choice).to_contain_text('{"by": "ana", "reason": "looks fine"}')
    await choice.click()
    field = dialog.get_by_role("textbox").last
    await field.click()
    # The dialog keeps what was typed into it before.
    await page.keyboard.press("Control+A")
    await page.keyboard.insert_text(given)
    # When the field is left its text is laid out anew, which moves the button away from under a click.
    await field.blur()
    await expect(field).to_contain_text(given.split('"')[1])
    return dialog
