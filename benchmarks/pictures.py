"""The pictures in the README and in docs: a real release on real parts, as the Temporal UI shows it in chromium.

Run ``python -m benchmarks.pictures`` (three minutes); it writes ``docs/images/timeline.png`` of a release that was
promoted, ``docs/images/encrypted-history.png`` of one whose payloads are encrypted, and those of the live page
(``benchmarks/dashboard_pictures.py``); ``release``, ``encrypted`` or ``dashboard`` takes the ones alone. Look at them
before you commit them. Those of docs/temporal-ui.md: ``tests.browser.pictures``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Locator, Page, ViewportSize

from benchmarks import dashboard_pictures, encrypted_picture
from benchmarks.chromium import browser
from benchmarks.served_dashboard import dashboard
from coalmine.client import Coalmine
from coalmine.connection import Settings, connect_client
from coalmine.local import stack as local
from coalmine.local.demo_releases import APPROVER, ENVIRONMENT, GATE, HEALTHY, Release, as_yaml
from coalmine.local.processes import LocalStackError, Process
from coalmine.local.temporal import temporal_program
from coalmine.records import Phase, RolloutStatus, canary_id
from coalmine.searching import RolloutRef
from coalmine.spec import parse_spec

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SIZE: ViewportSize = {"width": 1400, "height": 900}
RATE = 400
"""Requests per second."""
PATIENCE = 120.0
"""Seconds for the UI, or for the release, before something is wrong."""
METRICS = [
    {"name": "errors", "kind": "ratio", "template": "envoy", "max": 0.06, "margin": 3},
    {
        "name": "latency",
        "kind": "latency",
        "template": "envoy",
        "margin": 3,
        "objective": {"under": "75ms", "share": 0.7},
    },
]
"""With events so frequent and margins so wide that some seconds of requests prove no harm, without a history."""
LOOKS_AT_GATE = 5
"""Looks before the approval, so that the timeline has some to show."""
RELEASE = Release(
    name="checkout with the new tax rules",
    version="1.1.0",
    expected="promoted",
    behaviour=HEALTHY,
    steps=[
        {"weight": 5, "for": "4s"},
        {"weight": 20, "for": "4s"},
        {"weight": 50, "for": "4s", "gate": {"name": GATE, "approval": {"by": ["oncall"], "timeout": "10m"}}},
    ],
    approve=True,
)


async def main(wanted: str) -> None:
    """Bring the stack up, release, take the pictures of the ``release`` or of the ``dashboard``, and take all down."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            stack = await local.up(folder / "stack", [HEALTHY])
            start_load(stack)
            async with browser() as chromium:
                page = await chromium.new_page(viewport=SIZE, color_scheme="light", timezone_id="UTC", locale="en-GB")
                await take(stack, page, chromium, wanted)
        finally:
            await asyncio.to_thread(local.down, folder / "stack")


def start_load(stack: local.Stack) -> None:
    """Load through Envoy, until the stack goes down."""
    command = [sys.executable, "-m", "coalmine.cli", "load", stack.envoy["url"], "--rate", str(RATE), "--for", "10m"]
    Process("load", stack.path).start(command, dict(os.environ))


async def take(stack: local.Stack, page: Page, chromium: Browser, wanted: str) -> None:
    """Release, and take the pictures.

    Raises:
        LocalStackError: the release was not started, or not promoted.
    """
    page.set_default_timeout(PATIENCE * 1000)
    where = Settings(
        stack.temporal["address"], stack.temporal["namespace"], "the local stack", stack.temporal["ui"], {}
    )
    coalmine = Coalmine(await connect_client(where), where)
    baseline, canary = local.SLOTS
    await local.deploy(stack, canary, RELEASE.version, [RELEASE.behaviour], slow=HEALTHY.p99())
    spec = RELEASE.spec(stack, (local.FIRST_VERSION, baseline), canary)
    spec["metrics"] = METRICS
    receipt = await coalmine.start(parse_spec(as_yaml(spec), "the picture's spec"), by="ci", reason=RELEASE.name)
    ref = RolloutRef(receipt.workflow_id, receipt.run_id)
    link = str(coalmine.ui_link(receipt.workflow_id, receipt.run_id)).removesuffix("/timeline")
    async with asyncio.timeout(PATIENCE):
        async for status in coalmine.follow(ref, every=0.2):
            if isinstance(status, RolloutStatus) and status.phase is Phase.GATED and status.looks >= LOOKS_AT_GATE:
                break
    if wanted == "dashboard":
        async with dashboard(coalmine, APPROVER) as url:
            await dashboard_pictures.at_gate(chromium, url, ENVIRONMENT, local.SERVICE, IMAGES)
            await dashboard_pictures.roll_back(chromium, url, ENVIRONMENT, local.SERVICE, IMAGES)
        return
    await approve(stack)
    async with asyncio.timeout(PATIENCE):
        async for status in coalmine.follow(ref, every=0.2):
            if isinstance(status, RolloutStatus) and status.phase is Phase.CLOSED:
                break
    if not isinstance(status, RolloutStatus) or status.outcome != RELEASE.expected:
        raise LocalStackError(f"the release must be {RELEASE.expected}, and is not: {status}")
    await timeline(page, link)


async def timeline(page: Page, link: str) -> None:
    """What the rollout did around its approval, oldest first."""
    await page.goto(f"{link}/timeline")
    await page.get_by_title("Collapse Navigation").click()
    await page.get_by_role("button", name="Descending").click()
    row = page.get_by_role("button", name="Event approve")
    # Rows are drawn only where they are looked at.
    while not await row.count():
        await page.locator("#content-wrapper").evaluate("page => page.scrollBy(0, 400)")
        await settled(page)
    await scroll(page, row, 520)
    await page.screenshot(path=IMAGES / "timeline.png")


async def scroll(page: Page, to: Locator, top: int) -> None:
    """Bring something to so many pixels below the top."""
    place = await to.bounding_box()
    by = (place["y"] if place else 0) - top
    await page.locator("#content-wrapper").evaluate("(page, by) => page.scrollBy(0, by)", by)
    await settled(page)


async def settled(page: Page) -> None:
    """Let the page draw what a scroll brought in."""
    await page.evaluate("document.activeElement.blur()")
    await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


async def approve(stack: local.Stack) -> None:
    """The real command a person would type.

    Raises:
        LocalStackError: it failed; says what it printed.
    """
    process = await asyncio.create_subprocess_exec(
        *(temporal_program(), "workflow", "signal"),
        *("--address", stack.temporal["address"], "--namespace", stack.temporal["namespace"]),
        *("--workflow-id", canary_id(ENVIRONMENT, local.SERVICE), "--name", "approve"),
        *("--input", f'{{"by":"{APPROVER}","reason":"looks fine"}}'),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    if process.returncode != 0:
        raise LocalStackError(f"temporal workflow signal failed: {printed.decode(errors='replace').strip()}")


if __name__ == "__main__":
    asked = sys.argv[1:] or ["release", "encrypted", "dashboard"]
    for wanted in ("release", "dashboard"):
        if wanted in asked:
            asyncio.run(main(wanted))
    if "encrypted" in asked:
        asyncio.run(encrypted_picture.main())
