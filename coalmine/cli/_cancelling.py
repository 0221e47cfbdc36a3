"""SIGTERM and SIGHUP as Ctrl-C: how CI systems, containers and closed terminals cancel what only watches."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

CANCELLED_AS_BY_CTRL_C = frozenset({"start", "watch", "list"})
"""Verbs that detach. Those that serve have an ending of their own, and the others may die at once."""
_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def cancelled_as_by_ctrl_c(verb: str) -> Iterator[None]:
    """Within the block these signals do what SIGINT does there; for other verbs, and threads, nothing changes."""
    if verb not in CANCELLED_AS_BY_CTRL_C or threading.current_thread() is not threading.main_thread():
        yield
        return
    told = False

    def cancel(number: int, frame: FrameType | None) -> None:
        nonlocal told
        ctrl_c: Any = signal.getsignal(signal.SIGINT)
        if callable(ctrl_c) and ctrl_c is not signal.default_int_handler:
            # While a loop runs this is asyncio's own: it cancels the work, and breaks it off the second time.
            told = True
            ctrl_c(signal.SIGINT, frame)
        elif told:
            # Whoever cancels sends several, and would take the last words from a watcher that has left its loop.
            return
        else:
            # No loop; or it was started in the background of a shell, and Ctrl-C is not for it, but these are.
            told = True
            raise KeyboardInterrupt

    before: dict[signal.Signals, Any] = {}
    for number in _ENDING:
        # nohup ignores SIGHUP on purpose.
        if signal.getsignal(number) is signal.SIG_DFL:
            before[number] = signal.signal(number, cancel)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
