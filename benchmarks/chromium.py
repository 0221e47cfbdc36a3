"""A real browser for the Temporal UI: chromium, driven by playwright, kept away from everything but this machine."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

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
async def browser() -> AsyncIterator[Browser]:
    """A browser whose profile is new and temporary; it ends with the block.

    Raises:
        FileNotFoundError: chromium is not installed.
    """
    found = program()
    if found is None:
        raise FileNotFoundError("chromium is missing: make setup tells how to install it")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=found, args=list(_QUIET))
        try:
            yield chromium
        finally:
            await chromium.close()
