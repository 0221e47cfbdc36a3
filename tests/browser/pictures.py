"""The pictures in docs/temporal-ui.md: the real server, its UI and chromium; the release plays in a scripted world.

Run ``python -m tests.browser.pictures`` (about two minutes); it writes ``docs/images/ui-*.png``. Look at all of them
before you commit them.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, ViewportSize, expect
from temporalio import activity
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from benchmarks.chromium import browser
from coalmine.client import Coalmine
from coalmine.connection import Settings
from coalmine.local.temporal import NAMESPACE, TemporalServer, start_temporal
from coalmine.records import EvaluateRequest, Evaluation, Phase
from coalmine.ui_views import link, views
from tests.browser.test_temporal_ui import address, details, fill_signal, send_signal
from tests.workflows.driving import Rollout
from tests.workflows.serving import now, workers
from tests.workflows.specs import quick
from tests.workflows.world import World

IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"
SIZE: ViewportSize = {"width": 1280, "height": 900}
EFFECTS = {"errors": (1.02, (0.8, 1.09), 0.0079, 0.0081), "latency": (0.94, (0.85, 1.04), 0.182, 0.176)}
"""By metric: effect, its interval, the baseline's level and the canary's."""
METRICS = [
    {"name": "errors", "kind": "ratio", "source": "prometheus", "template": "envoy", "max": 0.05},
    {
        "name": "latency",
        "kind": "latency",
        "source": "prometheus",
        "template": "envoy",
        "objective": {"under": "250ms", "share": 0.99},
    },
]
STEPS = [
    {"weight": 5, "for": "1s"},
    {"weight": 20, "for": "1s"},
    {"weight": 50, "for": "1s", "gate": {"name": "business-hours", "approval": {"by": ["sre"]}}},
]
PEOPLE = {"sre": ["ana@example.org", "bo@example.org"]}


class Measured(World):
    """A world whose verdicts have numbers."""

    @activity.defn(name="evaluate")
    async def evaluate(self, request: EvaluateRequest) -> Evaluation:
        """What the script says, with an effect for each metric."""
        found = await super().evaluate(request)
        shown = []
        for verdict in found.verdicts:
            effect, interval, baseline, canary = EFFECTS[verdict.metric]
            numbers = {"effect": effect, "interval": interval, "margin": 1.1, "baseline": baseline, "canary": canary}
            shown.append(verdict.model_copy(update=numbers))
        return found.model_copy(update={"verdicts": shown})


async def main() -> None:
    """Take all of them."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await start_temporal(folder)
        stack.callback(server.stop)
        client = await Client.connect(server.address, namespace=NAMESPACE, data_converter=pydantic_data_converter)
        world = Measured(client=client, rate=1_240)
        for worker in workers(client, world):
            await stack.enter_async_context(worker)
        await take(server, client, world, await new_page(await stack.enter_async_context(browser())))


async def new_page(chromium: Browser) -> Page:
    """An empty page of a usual size."""
    page = await chromium.new_page(viewport=SIZE, color_scheme="light", timezone_id="UTC", locale="en-GB")
    page.set_default_timeout(120_000)
    expect.set_options(timeout=120_000)
    return page


async def take(server: TemporalServer, client: Client, world: World, page: Page) -> None:
    """One release: found, read, refused, about to be approved, taken back."""
    rollout = await start(server, client, world)
    await page.goto(link(server.ui, NAMESPACE, views()[0], keep=True))
    await page.get_by_title("Collapse Navigation").click()
    await page.get_by_role("link", name=rollout.id).first.wait_for()
    await shot(page, "find")
    await page.goto(await address(server, rollout, "user-metadata"))
    await details(page).get_by_text("requests").first.wait_for()
    await shot(page, "approve")
    given = '{"by": "ana@example.org", "reason": "looks fine", "gate": "business-hours", "attempt": 1}'
    dialog = await fill_signal(page, "approve", given)
    await dialog.screenshot(path=IMAGES / "ui-signal.png")
    await page.keyboard.press("Escape")
    await page.goto(await address(server, rollout, "user-metadata"))
    await send_signal(page, "approve", '{"reason": "looks fine"}')
    await rollout.until(lambda status: bool(status.refused))
    await page.keyboard.press("r")
    await details(page).get_by_text("refused").first.wait_for()
    await shot(page, "refused")
    await rollout.send("rollback", by="bo@example.org", reason="5xx on pay")
    await rollout.end()
    await page.goto(await address(server, rollout, "user-metadata"))
    await details(page).get_by_text("Rolled back").first.wait_for()
    await shot(page, "rolled-back")


async def shot(page: Page, name: str) -> None:
    """Take one, once what came in last is drawn."""
    await page.evaluate("() => new Promise(done => setTimeout(done, 1500))")
    await page.screenshot(path=IMAGES / f"ui-{name}.png")


async def start(server: TemporalServer, client: Client, world: World) -> Rollout:
    """A release started as CI starts one, up to its gate."""
    arms: dict[str, Any] = {
        "baseline": {"version": "1.41.0", "backend": "checkout-v1"},
        "canary": {"version": "1.42.0", "backend": "checkout-v2"},
    }
    spec = quick(environment="production", steps=STEPS, people=PEOPLE, metrics=METRICS, arms=arms)
    coalmine = Coalmine(client, Settings(server.address, NAMESPACE, "the pictures", server.ui, {}))
    receipt = await coalmine.start(spec, by="ci@example.org", automated=True, reason="new tax rules")
    rollout = Rollout(client, world, asyncio.sleep, now, id=receipt.workflow_id, tick=0.05)
    await rollout.reach(Phase.GATED)
    return rollout


if __name__ == "__main__":
    asyncio.run(main())
