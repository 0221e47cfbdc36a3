"""Reaching rollouts: what the chat app needs of ``coalmine.client``, connected when it is first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from coalmine.rollouts import Rollouts


class Reach:
    """One connection for all; made when it is needed, and tried again by the next who needs it."""

    def __init__(self, connect: Callable[[], Awaitable[Rollouts]]) -> None:
        self._connect = connect
        self._trying: asyncio.Task[Rollouts] | None = None
        self._found: Rollouts | None = None

    async def __call__(self) -> Rollouts:
        """The connection. Whoever asks while it is being tried hears what comes of that one try.

        Raises:
            TemporalUnavailable: there is none now.
        """
        if self._found is not None:
            return self._found
        if self._trying is None:
            self._trying = asyncio.create_task(self._try())
        return await asyncio.shield(self._trying)

    async def _try(self) -> Rollouts:
        try:
            self._found = await self._connect()
            return self._found
        finally:
            self._trying = None
