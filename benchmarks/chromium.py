"""A real browser for the Temporal UI: chromium, driven by playwright, kept away from everything but this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

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


@contextmanager
def short_temporary_folder() -> Iterator[str]:
    """A temporary folder by a short name that holds in the block, however deep it lies.

    Chromium makes a Unix socket in it, whose whole path may have 107 bytes.
    """
    with tempfile.TemporaryDirectory(prefix="chromium-") as folder:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/{os.getpid()}/fd/{handle}"
        finally:
            os.close(handle)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser whose profile is new and temporary; it ends with the block.

    Raises:
        FileNotFoundError: chromium is not installed.
    """
    found = program()
    if found is None:
        raise FileNotFoundError("chromium is missing: make setup tells how to install it")
    with short_temporary_folder() as folder:
        async with async_playwright() as playwright:
            chromium = await playwright.chromium.launch(
                executable_path=found, args=list(_QUIET), env={**os.environ, "TMPDIR": folder}
            )
            try:
                yield chromium
            finally:
                await chromium.close()
