"""Benchmarks start real processes: what ends a benchmark has to end those too.

``run`` stands where ``asyncio.run`` would; ``carried_out`` runs a benchmark as a process and passes on what ends us.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine, Sequence
from types import FrameType
from typing import Any, TypeVar

from benchmarks.one_core import ONE_THREAD

_T = TypeVar("_T")
ENDING = (signal.SIGTERM, signal.SIGINT)


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Like ``asyncio.run``; SIGTERM and SIGINT cancel the work, which ends what it started on its way out.

    Raises:
        SystemExit: it was ended so, with 128 and the signal's number.
    """
    got: list[signal.Signals] = []

    async def watched() -> _T:
        task = asyncio.current_task()
        assert task is not None

        def end(which: signal.Signals) -> None:
            # Once: a second one, say from the terminal and from whoever started us, would cut the ending short.
            if not got:
                task.cancel()
            got.append(which)

        for which in ENDING:
            asyncio.get_running_loop().add_signal_handler(which, end, which)
        return await work

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        if not got:
            raise
        print(f"ended by {got[0].name}: nothing was written", file=sys.stderr)
        raise SystemExit(128 + got[0]) from None


def carried_out(command: Sequence[str]) -> int:
    """Run a program, numpy on one core, and wait for it, however we are asked to end: it is told, and ends in order.

    Returns:
        Its exit code.

    Raises:
        SystemExit: we were asked to end, and it has ended.
    """
    got: list[int] = []
    with subprocess.Popen(command, env={**os.environ, **ONE_THREAD}) as child:

        def pass_on(number: int, _: FrameType | None) -> None:
            got.append(number)
            child.send_signal(number)

        before = {which: signal.signal(which, pass_on) for which in ENDING}
        try:
            code = child.wait()
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)
    if got:
        raise SystemExit(128 + got[0])
    return code
