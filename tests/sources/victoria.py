"""A real VictoriaMetrics on a free port, which scrapes what a test names."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from coalmine.local.processes import Process, await_port, free_ports


@asynccontextmanager
async def victoria_metrics(folder: Path, targets: Sequence[str], scrape: float) -> AsyncIterator[str]:
    """Its address; it ends with the block. ``scrape`` in seconds."""
    program = shutil.which("victoria-metrics")
    assert program, "victoria-metrics is not installed: make setup does it"
    await _write_config(folder, targets, scrape)
    (port,) = free_ports(1)
    process = Process("victoria-metrics", folder)
    process.start(
        [
            program,
            f"-storageDataPath={folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{port}",
            f"-promscrape.config={folder / 'scrape.yml'}",
            # What came in within the last half minute is held back from queries unless it is told not to.
            "-search.latencyOffset=0s",
            "-search.disableCache",
        ]
    )
    try:
        await await_port(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        await asyncio.to_thread(process.stop)


async def scrape_only(url: str, folder: Path, targets: Sequence[str], scrape: float) -> None:
    """Replace the targets of a running one: those that are no longer named go away, as a pod that ended does."""
    await _write_config(folder, targets, scrape)
    async with aiohttp.ClientSession() as session, session.post(f"{url}/-/reload") as response:
        response.raise_for_status()


async def _write_config(folder: Path, targets: Sequence[str], scrape: float) -> None:
    interval = f"{round(scrape * 1000)}ms"
    config = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [{"job_name": "shop", "static_configs": [{"targets": list(targets)}]}],
    }
    await asyncio.to_thread((folder / "scrape.yml").write_text, json.dumps(config))
