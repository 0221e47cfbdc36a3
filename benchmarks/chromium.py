"""A real browser for the Temporal UI: chromium, driven by playwright, kept away from everything but this machine."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import BrowserContext, async_playwright

SIZE = (1400, 900)
"""Width and height of a page, in pixels."""
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The UI asks for a feed of news.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def program() -> str | None:
    """The path of the distribution's chromium; None when it is not installed."""
    return shutil.which("chromium")


@asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[BrowserContext]:
    """A browser with a profile of its own in an empty folder; it ends with the block.

    Raises:
        FileNotFoundError: chromium is not installed.
    """
    found = program()
    if found is None:
        raise FileNotFoundError("chromium is missing: make setup tells how to install it")
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile,
            executable_path=found,
            args=list(_QUIET),
            viewport={"width": SIZE[0], "height": SIZE[1]},
            color_scheme="light",
            timezone_id="UTC",
            locale="en-GB",
        )
        try:
            yield context
        finally:
            await context.close()
