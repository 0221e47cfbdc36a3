"""The live page in a real browser: from an empty page to an approved and a rolled-back rollout, by keyboard too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from benchmarks.chromium import program
from coalmine.client import Coalmine
from coalmine.connection import Settings, connect_client
from coalmine.dashboard.auth.oidc import CALLBACK, ByOidc, OidcSettings
from coalmine.dashboard.people import Access
from coalmine.dashboard.places import Place
from coalmine.dashboard.session import Sessions
from coalmine.errors import TemporalUnavailable
from coalmine.identity.signing import public_half
from coalmine.local.temporal import NAMESPACE, TemporalServer
from coalmine.records import Outcome, Phase, RolloutStatus
from coalmine.searching import RolloutRef
from coalmine.spec.ledger import Ledger
from coalmine.testing.fake_oidc import CLIENT, FakeOidc
from coalmine.testing.fake_rollouts import FakeRollouts
from coalmine.testing.sample_rollouts import a_status
from tests.dashboard.past import fill
from tests.dashboard.served import KEY, Served, served
from tests.workflows.serving import workers
from tests.workflows.specs import quick
from tests.workflows.world import World

PATIENCE = 60_000
"""Milliseconds for a page to show something: on a busy machine it takes its time."""
GATED = [
    {"weight": 10, "for": "1s"},
    {"weight": 50, "for": "1s", "gate": {"name": "go", "approval": {"by": ["sre"], "verified": True}}},
]
REF = RolloutRef("canary/test/checkout")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(program() is None, reason="chromium is not installed: make setup tells how"),
]


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """An empty page; what goes wrong in it is an error of the test."""
    page = await chromium.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    yield page
    await page.close()
    assert wrong == []


@asynccontextmanager
async def real(server: TemporalServer, folder: Path) -> AsyncIterator[tuple[Served, Coalmine, World]]:
    """The dashboard on real workflows in a scripted world; ana logs in at a provider, and the workers verify."""
    where = Settings(server.address, NAMESPACE, "the test", server.ui, {})
    coalmine = Coalmine(await connect_client(where), where)
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"keys": [public_half(KEY)]}))
    world = World(client=coalmine.temporal, environ={"COALMINE_DECISION_KEYS": str(keys)})
    async with AsyncExitStack() as stack:
        for worker in workers(coalmine.temporal, world):
            await stack.enter_async_context(worker)
        provider = await stack.enter_async_context(FakeOidc("ana@example.org"))

        def access(place: Place, sessions: Sessions) -> Access:
            return ByOidc(OidcSettings(provider.issuer, CLIENT, place.url + CALLBACK), sessions)

        yield await stack.enter_async_context(served(coalmine, access, every=1.0)), coalmine, world


async def start(coalmine: Coalmine, version: str) -> None:
    spec = quick(steps=GATED, people={"sre": ["ana@example.org"]}, promotion={"bake": "1s", "rollback_window": "1s"})
    spec.arms.canary.version = version
    assert (await coalmine.start(spec, by="ci")).disposition == "started"


async def closed(coalmine: Coalmine) -> Outcome | None:
    async with asyncio.timeout(PATIENCE / 1000):
        while (status := await coalmine.status(REF)).phase is not Phase.CLOSED:
            await asyncio.sleep(0.1)
    return status.outcome


async def press_until(page: Page, name: str) -> None:
    """Press Tab until the focus is on what has this name."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name") == name:
            return
    raise AssertionError(f"the keyboard does not reach {name!r}")


async def test_from_an_empty_page_to_an_approved_and_a_rolled_back_rollout(
    server: TemporalServer, page: Page, tmp_path: Path
) -> None:
    async with real(server, tmp_path) as (desk, coalmine, world):
        await page.goto(desk.url)
        await expect(page.get_by_text("No rollout is open.")).to_be_visible()
        await expect(page.get_by_text("ana@example.org")).to_be_visible()
        await start(coalmine, "1.1.0")
        # It is there, and then waits, without a reload.
        row = page.get_by_role("row").filter(has_text="checkout")
        await expect(row).to_contain_text("gate 'go' waits for 1 of sre")

        # Approved by keyboard alone.
        await page.get_by_role("link", name="checkout").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("checkout 1.0.0 → 1.1.0 in test")
        await press_until(page, "Approve")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Approve checkout 1.0.0 → 1.1.0")
        await press_until(page, "reason")
        await page.keyboard.type("looks <b>fine</b>")
        await press_until(page, "Approve now")
        await page.keyboard.press("Enter")
        await expect(page.locator(".said")).to_contain_text("gate 'go' is open")
        await expect(page.locator("#part-head")).to_contain_text("promoted")
        await expect(page.locator("#part-decisions")).to_contain_text("looks <b>fine</b>")
        await expect(page.locator("#part-actions")).to_contain_text("Nothing can be said to it now")
        assert await closed(coalmine) is Outcome.PROMOTED
        # The worker verified that it was ana: without a proof the gate would not have opened.
        given = [entry for entry in (await coalmine.decisions(REF)).entries if entry.kind == "command"]
        assert [(entry.by, entry.data["verified"], entry.data["key"]) for entry in given] == [
            ("ana@example.org", True, KEY["kid"])
        ]

        # The next one begins from a baseline as the first did.
        world.route = {"checkout-v1": 100.0}
        await page.goto(desk.url)
        await start(coalmine, "1.2.0")
        await expect(row).to_contain_text("1.2.0")
        await expect(row).to_contain_text("gate 'go' waits for 1 of sre")
        await page.get_by_role("link", name="checkout").click()
        await page.get_by_role("link", name="Rollback").click()
        await page.get_by_label("Reason").fill("the tax is wrong")
        await page.get_by_role("button", name="Rollback now").click()
        await expect(page.locator("#part-head")).to_contain_text("rolled back")
        await expect(page.locator("#part-now")).to_contain_text("yes, the route reads back as it was")
        assert await closed(coalmine) is Outcome.ROLLED_BACK


def several() -> FakeRollouts:
    fake = FakeRollouts.many(60)
    fake.put(a_status("checkout", phase=Phase.GATED))
    return fake


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
async def test_axe_finds_nothing_serious(
    chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, width: int
) -> None:
    fake = several()

    async def nobody(ref: RolloutRef) -> RolloutStatus:
        raise TemporalUnavailable("no worker polls")

    fake.change("canary/production/checkout", paused=True, reason="a reason", history_note="1,200 looks")
    await fill(tmp_path)
    async with served(fake, ledger=Ledger(path=str(tmp_path))) as desk:
        page = await chromium.new_page(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        page.set_default_timeout(PATIENCE)
        found: dict[str, list[str]] = {}
        live = ("/?size=25", "/rollouts/production/checkout")
        silent = ("/rollouts/production/checkout?", "/act/production/checkout/rollback")
        for path in (*live, "/act/production/checkout/extend", "/trends", "/no", *silent):
            if path in silent:
                monkeypatch.setattr(fake, "status", nobody)
            await page.goto(desk.url + path)
            if path in live:
                await page.locator("body[data-seen]").wait_for(state="attached")
            results = await Axe().run(page)
            serious = [
                one
                for one in results.response["violations"]
                if one["impact"] in ("serious", "critical") or one["id"] == "landmark-unique"
            ]
            found[path] = [f"{one['id']}: {one['nodes'][0]['html']}" for one in serious]
            # Nothing is wider than the window: a phone need not scroll sideways.
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            if path == "/trends":
                await expect(page.get_by_role("heading", name="By service")).to_be_visible()
        await page.close()
    assert not any(found.values()), found


async def test_a_page_of_two_thousand_is_searched_and_follows(page: Page) -> None:
    fake = FakeRollouts.many(2_000)
    async with served(fake) as desk:
        await page.goto(desk.url)
        await expect(page.locator("#rows tr")).to_have_count(50)
        await expect(page.locator("#part-summary")).to_contain_text("2,000 rollouts, page 1 of 40")
        await page.get_by_label("Search").fill("service-1001")
        await page.keyboard.press("Enter")
        await expect(page.locator("#rows tr")).to_have_count(1)
        await page.locator("body[data-seen]").wait_for(state="attached")
        [wanted] = [one for one in fake.statuses.values() if one.service == "service-1001"]
        fake.change(wanted.workflow_id, phase=Phase.ROLLING_BACK, gate=None)
        await expect(page.locator("#rows tr")).to_contain_text("rolling back")
        await expect(page.locator("#announcer")).to_contain_text("service-1001")
        fake.silent = "connection refused"
        await expect(page.get_by_role("alert")).to_contain_text("Not connected to Temporal since")
        fake.silent = ""
        await expect(page.get_by_role("alert")).to_have_count(0)


async def test_what_people_wrote_does_not_run(page: Page) -> None:
    evil = "<script>alert('x')</script><img src=x onerror=alert(1)>"
    fake = several()
    fake.change("canary/production/checkout", version=evil, reason=evil, unmet=[evil], by=evil)
    async with served(fake) as desk:
        for path in ("/?q=checkout", "/rollouts/production/checkout", "/act/production/checkout/pause"):
            await page.goto(desk.url + path)
            await expect(page.locator("main")).to_contain_text("<script>alert('x')</script>")
        await page.goto(desk.url + "/rollouts/production/checkout")
        await page.locator("body[data-seen]").wait_for(state="attached")
        assert await page.locator("main script, main img").count() == 0


async def test_long_words_do_not_widen_a_phone(chromium: Browser) -> None:
    sha = "9de1850c0ffee9de1850c0ffee9de1850c0ffee9"
    link = "https://ci.example.org/org/repo/actions/runs/1234567890/job/" + "9" * 60
    fake, workflow = FakeRollouts(), "canary/production/checkout"
    fake.put(a_status("checkout", phase=Phase.GATED, version=sha))
    fake.change(workflow, baseline_version=sha[::-1], reason=link, unmet=[link], held_reason=link, by=f"ci-{link}")
    here = "/rollouts/production/checkout"
    async with served(fake, every=0.3) as desk:
        page = await chromium.new_page(viewport={"width": 360, "height": 900})
        page.set_default_timeout(PATIENCE)
        for path in ("/", here, "/act/production/checkout/approve", "/act/production/checkout/rollback", "/trends"):
            await page.goto(desk.url + path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
        fake.change(workflow, phase=Phase.CLOSED, outcome=Outcome.ROLLED_BACK)
        for path in ("/?state=closed", here):
            await page.goto(desk.url + path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
        await page.close()


async def test_focus_stays_where_it_was_when_a_part_changes(page: Page) -> None:
    fake = several()
    async with served(fake) as desk:
        await page.goto(desk.url + "/rollouts/production/checkout")
        await page.locator("body[data-seen]").wait_for(state="attached")
        await page.get_by_role("link", name="Pause").focus()
        fake.change("canary/production/checkout", phase=Phase.STEPPING, gate=None)
        await expect(page.get_by_role("link", name="Approve")).to_have_count(0)
        assert await page.evaluate("document.activeElement.textContent") == "Pause"
        # Whoever wants to read in peace pauses it.
        await page.get_by_role("button", name="Pause live updates").click()
        await expect(page.get_by_role("button", name="Resume live updates")).to_be_visible()


async def test_a_second_press_does_nothing(page: Page) -> None:
    fake = several()
    async with served(fake) as desk:
        await page.goto(desk.url + "/act/production/checkout/extend")
        await page.get_by_role("button", name="Extend now").dblclick()
        await expect(page.locator(".said")).to_contain_text("extend is taken")
    assert len(fake.sent) == 1


async def test_a_page_that_was_opened_while_nobody_answered_shows_the_rollout_once_somebody_does(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = several()

    async def nobody(ref: RolloutRef) -> RolloutStatus:
        raise TemporalUnavailable("no worker polls")

    async with served(fake) as desk:
        with monkeypatch.context() as silent:
            silent.setattr(fake, "status", nobody)
            await page.goto(desk.url + "/rollouts/production/checkout")
            await expect(page.get_by_role("heading", level=1)).to_have_text("No answer from this rollout")
            await expect(page.get_by_role("alert")).to_contain_text("No answer from this rollout since")
            await expect(page.get_by_text("as soon as somebody answers, the rollout is shown here")).to_be_visible()
            await expect(page.get_by_role("link", name="Try again")).to_be_visible()
        await expect(page.get_by_role("heading", level=1)).to_have_text("checkout 1.41.0 → 1.42.0 in production")
        # It follows from there, as any page does, and asks for no other load.
        await page.locator("body[data-seen]").wait_for(state="attached")
        fake.change("canary/production/checkout", phase=Phase.STEPPING, gate=None)
        await expect(page.locator("#part-head")).to_contain_text("stepping")
