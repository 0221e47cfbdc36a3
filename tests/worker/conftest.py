"""Worker processes, and what they log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STAND_IN = "tests/worker/stand_in_process.py"
WORKER = "worker.py"


def _decode(raw: bytes) -> dict[str, Any]:
    """A line of the log; what is no JSON (a crash of the interpreter) becomes one, so that tests show it."""
    try:
        line: dict[str, Any] = json.loads(raw)
    except ValueError:
        return {"event": raw.decode(), "level": "crash"}
    return line


@dataclass
class Process:
    """A process of ours whose log is read as it comes."""

    inner: asyncio.subprocess.Process
    lines: list[dict[str, Any]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    over: bool = False
    reading: asyncio.Task[None] | None = None

    async def read(self) -> None:
        assert self.inner.stderr is not None
        async for raw in self.inner.stderr:
            async with self.news:
                self.raw.append(raw.decode())
                self.lines.append(_decode(raw))
                self.news.notify_all()
        async with self.news:
            self.over = True
            self.news.notify_all()

    async def logged(self, event: str) -> dict[str, Any]:
        """The first line of this event, once it is there."""
        async with asyncio.timeout(60), self.news:
            await self.news.wait_for(lambda: self.over or any(line["event"] == event for line in self.lines))
        found = next((line for line in self.lines if line["event"] == event), None)
        assert found is not None, f"ended without {event!r}:\n" + "".join(self.raw)
        return found

    async def ended(self) -> int:
        """The exit code, once the whole log is read."""
        async with asyncio.timeout(60):
            code = await self.inner.wait()
            assert self.reading is not None
            await self.reading
        return code

    def terminate(self) -> None:
        self.inner.send_signal(signal.SIGTERM)


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start ``worker.py`` or its stand-in with these variables; whatever still runs at the end is killed."""
    started: list[Process] = []

    async def make(script: str, variables: dict[str, str], *arguments: str) -> Process:
        process = Process(
            await asyncio.create_subprocess_exec(
                sys.executable,
                str(ROOT / script),
                *arguments,
                env={**os.environ, "COALMINE_LOG_FORMAT": "json", **variables},
                cwd=tmp_path,
                stderr=asyncio.subprocess.PIPE,
            )
        )
        process.reading = asyncio.create_task(process.read())
        started.append(process)
        return process

    yield make
    for process in started:
        if process.inner.returncode is None:
            process.inner.kill()
        await process.inner.wait()
        if process.reading is not None:
            await process.reading
