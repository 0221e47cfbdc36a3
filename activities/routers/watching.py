"""What a proxy did with a route that was just written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from activities.routers.splits import Shown, Silent

PATIENCE = 1.0
"""Seconds; a proxy takes a route within milliseconds. One that lags is left to ``confirm``."""
_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05


class Took(Enum):
    """What a proxy did with the route."""

    SHOWN = "shows it"
    REFUSED = "refused it"
    OVERTAKEN = "shows a newer one"
    WAITING = "does not show it yet"


@dataclass(frozen=True)
class Watched:
    """One proxy, what it did, and what it showed last."""

    proxy: str
    took: Took
    detail: str = ""
    shown: Shown | None = None


async def until_taken(proxy: str, look: Callable[[], Awaitable[Watched]], patience: float = 0.0) -> Watched:
    """Look again and again, until the proxy has done something with the route or ``patience`` seconds are over.

    Zero is ``PATIENCE``.
    """
    patience = patience or PATIENCE
    last = Watched(proxy, Took.WAITING, f"{proxy}: no answer within {patience:g} s")
    pause = _FIRST_PAUSE
    try:
        async with asyncio.timeout(patience):
            while last.took is Took.WAITING:
                try:
                    last = await look()
                except Silent as error:
                    last = Watched(proxy, Took.WAITING, str(error))
                if last.took is Took.WAITING:
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, _LONGEST_PAUSE)
    except TimeoutError:
        pass
    return last
