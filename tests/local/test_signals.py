"""Commands that are told to end stop what they started first."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coalmine.local import stack as local
from coalmine.local.processes import Process, strays
from coalmine.local.signals import cancelled_by_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_cancels_once_and_the_cleaning_up_is_not_interrupted(number: signal.Signals) -> None:
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        with cancelled_by_signals():
            try:
                os.kill(os.getpid(), number)
                await asyncio.sleep(60)
            finally:
                os.kill(os.getpid(), number)
                await asyncio.sleep(0.05)
                cleaned = True

    with pytest.raises(KeyboardInterrupt, match=number.name):
        await work()
    assert cleaned


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def work() -> None:
        with cancelled_by_signals():
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_the_block_signals_are_as_they_were() -> None:
    with cancelled_by_signals():
        pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a stack may be; whatever runs there is ended after the test."""
    folder = tmp_path / "stack"
    yield folder
    local.down(folder)


@contextmanager
def _half_up(verb: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, once a part of the stack runs."""
    with subprocess.Popen(
        [sys.executable, "-m", "coalmine.cli", verb, "--folder", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            deadline = time.monotonic() + 60
            while local.running(folder)["temporal"] is None:
                assert command.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield command
        finally:
            command.kill()


@pytest.mark.parametrize("verb", ["up", "demo"])
def test_a_command_that_is_told_to_end_leaves_nothing_running(folder: Path, verb: str) -> None:
    with _half_up(verb, folder) as command:
        command.terminate()
        _, said = command.communicate(timeout=60)
    assert command.returncode == 130, said
    assert set(local.running(folder).values()) == {None}
    assert strays(folder) == []


def test_what_a_killed_command_left_goes_down(folder: Path) -> None:
    with _half_up("up", folder) as command:
        command.kill()
        command.communicate(timeout=60)
    assert strays(folder) != []
    assert "temporal" in local.down(folder)
    assert strays(folder) == []
    assert [name for name in local.NAMES if Process(name, folder).pid_file.exists()] == []
