"""The ground with a Temporal server that keeps its database on disk, so that it can be killed and come back."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RetryConfig

from benchmarks.ground import NAMESPACE, Ground
from coalmine.local.processes import await_port
from coalmine.local.temporal import TemporalServer, start_temporal

PATIENT = RetryConfig(max_interval_millis=1_000, max_elapsed_time_millis=120_000, max_retries=200)
"""A server that is killed again and again is away for longer than the SDK asks for by itself."""


class DiskGround(Ground):
    """``Ground``; ``await ground.restart_temporal()``."""

    _server: TemporalServer

    async def _start_temporal(self, stack: AsyncExitStack) -> Client:
        folder = self.folder / "temporal"
        folder.mkdir()
        self._server = await start_temporal(folder)
        stack.callback(lambda: self._server.stop())
        return await Client.connect(
            self._server.address, namespace=NAMESPACE, data_converter=pydantic_data_converter, retry_config=PATIENT
        )

    async def restart_temporal(self, how: signal.Signals, away: float) -> None:
        """End the server so, and start the same command again on the same database after so many seconds."""
        process = self._server.process
        pid = process.pid()
        assert pid is not None, "the server has ended by itself"
        command = _command(pid)
        os.kill(pid, how)
        while process.pid() is not None:
            await asyncio.sleep(0.02)
        await asyncio.sleep(away)
        process.start(command)
        await await_port(process, self._server.port)


def _command(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
