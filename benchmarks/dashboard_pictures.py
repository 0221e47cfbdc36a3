"""Pictures of the live page: a real release on real parts, on a dashboard that is served for them.

``python -m benchmarks.pictures dashboard`` writes five to ``docs/images``: ``dashboard-fleet.png`` and, while the
release waits at its gate, ``dashboard-rollout.png``, ``dashboard-approve.png`` and ``dashboard-phone.png``; then the
release is rolled back by clicks: ``dashboard-rolled-back.png``.
"""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Browser, Page


async def at_gate(chromium: Browser, url: str, environment: str, service: str, images: Path) -> None:
    """The fleet, the rollout and the confirmation, while it waits; the rollout on a phone in the dark."""
    page = await chromium.new_page(viewport={"width": 1280, "height": 640}, color_scheme="light")
    await shown(page, f"{url}/")
    await page.get_by_text("waits for").first.wait_for()
    await page.screenshot(path=images / "dashboard-fleet.png")
    where = f"{environment}/{service}"
    await page.set_viewport_size({"width": 1280, "height": 1250})
    await shown(page, f"{url}/rollouts/{where}")
    await page.screenshot(path=images / "dashboard-rollout.png")
    await page.set_viewport_size({"width": 1280, "height": 480})
    await page.goto(f"{url}/act/{where}/approve")
    await page.screenshot(path=images / "dashboard-approve.png")
    await page.close()
    phone = await chromium.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    await shown(phone, f"{url}/rollouts/{where}")
    await phone.screenshot(path=images / "dashboard-phone.png")
    await phone.close()


async def roll_back(chromium: Browser, url: str, environment: str, service: str, images: Path) -> None:
    """Roll the release back as a person would, and show what its page says then."""
    page = await chromium.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    await shown(page, f"{url}/rollouts/{environment}/{service}")
    await page.get_by_role("link", name="Rollback").click()
    await page.get_by_label("Reason").fill("5xx on pay")
    await page.get_by_role("button", name="Rollback now").click()
    await page.locator("#part-head").get_by_text("rolled back").first.wait_for()
    await shown(page, f"{url}/rollouts/{environment}/{service}")
    await page.screenshot(path=images / "dashboard-rolled-back.png")
    await page.close()


async def shown(page: Page, url: str) -> None:
    """Open a page that follows, and let its first update come."""
    await page.goto(url)
    await page.locator("body[data-seen]").wait_for(state="attached")
