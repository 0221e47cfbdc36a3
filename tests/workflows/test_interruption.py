"""Work that is dropped ends unheard."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from workflows.interruption import drop


async def test_an_error_of_dropped_work_is_nobodys() -> None:
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context))

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("timed out") from None

    task = asyncio.ensure_future(stubborn())
    await asyncio.sleep(0)
    drop(task)
    await asyncio.wait([task])
    await asyncio.sleep(0)
    del task
    gc.collect()
    assert not heard
