"""Ending a program that this process started: asked first, then killed."""

from __future__ import annotations

import asyncio
import contextlib

STOP_WITHIN = 5.0
"""Seconds it may take to end by itself."""


async def end(process: asyncio.subprocess.Process | None, within: float = STOP_WITHIN) -> None:
    """End it, and wait until it has; one that ended already, or None, is left alone."""
    if process is None or process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), within)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
