"""A terminal that was closed takes nothing with it: the files a pipeline reads, and the exit code."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from coalmine.records import Phase
from tests.cli.conftest import Desk
from tests.cli.terminal import on_a_terminal


async def test_whoever_closes_the_terminal_detaches_and_the_files_are_written(desk: Desk, tmp_path: Path) -> None:
    assert (await desk.type("start", desk.write(steps=[{"weight": 10, "for": "1h"}]))).code == 0
    outputs = tmp_path / "outputs"
    drawn = b""
    async with on_a_terminal(["watch", "checkout", "--outputs", str(outputs)]) as (process, ours), asyncio.timeout(60):
        while b"10 %" not in drawn:
            drawn += await asyncio.to_thread(os.read, ours, 65536)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert await process.wait() == 130
    assert "workflow_id=canary/test/checkout" in outputs.read_text()
    assert (await desk.coalmine.status(desk.ref)).phase is Phase.STEPPING
