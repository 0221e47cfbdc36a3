"""Streams of server-sent events: how many there may be, and their end with the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent

from coalmine.dashboard.people import Denied

MOST = 500
"""Streams at the same time, of all viewers."""
PING_EVERY = 15
"""Seconds between two signs of life."""
LONGEST = 3600.0
"""Seconds until a reader has to come again, and to prove anew who they are: browsers do it by themselves."""
SEND_WITHIN = 20.0
"""Seconds a reader may take to take something before it is let go."""


class Streams:
    """Those of one server."""

    def __init__(self) -> None:
        self.open = 0
        self._over = asyncio.Event()

    def response(self, updates: AsyncGenerator[ServerSentEvent, None]) -> EventSourceResponse:
        """An answer that goes on until the reader leaves or the server stops.

        Raises:
            Denied: there are too many already.
        """
        if self.open >= MOST:
            raise Denied(503, f"{MOST} pages are followed already: load the page again later")
        return EventSourceResponse(
            self._counted(updates), ping=PING_EVERY, send_timeout=SEND_WITHIN, headers={"Cache-Control": "no-store"}
        )

    def end(self) -> None:
        """Let every reader go: the server stops."""
        self._over.set()

    async def _counted(self, updates: AsyncGenerator[ServerSentEvent, None]) -> AsyncIterator[ServerSentEvent]:
        self.open += 1
        over = asyncio.ensure_future(self._over.wait())
        ends = asyncio.get_running_loop().time() + LONGEST
        coming: asyncio.Task[ServerSentEvent] | None = None
        try:
            yield ServerSentEvent(retry=2_000)
            while True:
                coming = asyncio.create_task(anext(updates))
                left = ends - asyncio.get_running_loop().time()
                await asyncio.wait({coming, over}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if over.done() or not coming.done():
                    return
                try:
                    update = coming.result()
                except StopAsyncIteration:
                    return
                yield update
        finally:
            self.open -= 1
            over.cancel()
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
            await updates.aclose()
