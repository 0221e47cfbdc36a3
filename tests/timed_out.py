"""What a test that ran out of time was waiting for: the stack of every task of asyncio that was pending.

The traceback of such a test shows an event loop that waits, whatever it waits for.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Generator, Iterator
from typing import Any

import pytest

DEPTH = 40
"""Frames of one task, from the outermost await to the innermost."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add a section to the report of a test that took too long."""
    report = yield
    if (
        call.excinfo is not None
        and call.excinfo.errisinstance(pytest.fail.Exception)
        and "Timeout" in str(call.excinfo)
    ):
        report.sections.append((f"Pending tasks at {call.when}", "\n".join(pending_tasks())))
    return report


def pending_tasks() -> Iterator[str]:
    """A few lines for each task of any loop of this process that has not ended."""
    for found in gc.get_objects():
        if isinstance(found, asyncio.Task) and not found.done():
            yield f"{found.get_name()}:"
            yield from (f"  {frame}" for frame in _awaits(found.get_coro()))


def _awaits(waiting: Any) -> Iterator[str]:
    for _ in range(DEPTH):
        if waiting is None:
            return
        kind = next((kind for kind in ("cr", "ag", "gi") if hasattr(waiting, f"{kind}_frame")), None)
        if kind is None:
            yield repr(waiting)[:200]
            return
        frame = getattr(waiting, f"{kind}_frame")
        if frame is not None:
            yield f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"
        waiting = getattr(waiting, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
