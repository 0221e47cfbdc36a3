"""An event loop whose clock leaps to whatever is due next: minutes of pauses are over at once, as long as they say."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Leaps(selectors.SelectSelector):
    """Nothing comes from outside, so whoever waits waits for the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing is due, and everyone waits"
        self.now += max(timeout, 0.0)
        return super().select(0)


class LeapingLoop(asyncio.SelectorEventLoop):
    """For what neither reads sockets nor starts threads."""

    def __init__(self) -> None:
        self._leaps = _Leaps()
        super().__init__(self._leaps)

    def time(self) -> float:
        """Seconds since it was made."""
        return self._leaps.now


def run_leaping(test: Coroutine[Any, Any, T]) -> T:
    """What it returns."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(test)
