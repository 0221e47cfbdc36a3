"""SIGTERM and SIGHUP end a command as Ctrl-C does: what it started is stopped before it goes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def cancelled_by_signals() -> Iterator[None]:
    """Cancel the task that is in the block when the process is told to end.

    Raises:
        KeyboardInterrupt: in place of the cancellation, once the block has cleaned up.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    told: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        told.append(number)
        # A second one must not interrupt the stopping.
        if len(told) == 1 and task is not None:
            task.cancel()

    for number in _ENDING:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if not told:
            raise
        raise KeyboardInterrupt(told[0].name) from None
    finally:
        for number in _ENDING:
            loop.remove_signal_handler(number)
