"""Streams of server-sent events: how many there may be, and their end with the server or the login."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from coalmine.dashboard.people import Denied
from coalmine.dashboard.session import Sessions

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

    def __init__(self, sessions: Sessions) -> None:
        self.open = 0
        self._sessions = sessions
        self._over = asyncio.Event()

    def response(self, request: Request, updates: AsyncGenerator[ServerSentEvent, None]) -> EventSourceResponse:
        """An answer that goes on until the reader leaves, the login is over by which they read, or the server stops.

        Raises:
            Denied: there are too many already.
        """
        if self.open >= MOST:
            raise Denied(503, f"{MOST} pages are followed already: load the page again later")
        return EventSourceResponse(
            self._counted(request, updates),
            ping=PING_EVERY,
            send_timeout=SEND_WITHIN,
            headers={"Cache-Control": "no-store"},
        )

    def end(self) -> None:
        """Let every reader go: the server stops."""
        self._over.set()

    async def _counted(
        self, request: Request, updates: AsyncGenerator[ServerSentEvent, None]
    ) -> AsyncIterator[ServerSentEvent]:
        self.open += 1
        try:
            with self._sessions.following(request) as (signed_out, left):
                yield ServerSentEvent(retry=2_000)
                async with aclosing(_until(updates, min(left, LONGEST), self._over, signed_out)) as coming:
                    async for update in coming:
                        yield update
        finally:
            self.open -= 1
            await updates.aclose()


async def _until(
    updates: AsyncGenerator[ServerSentEvent, None], within: float, *ends: asyncio.Event
) -> AsyncGenerator[ServerSentEvent, None]:
    """Updates for so many seconds, or until one of these is set."""
    last = asyncio.get_running_loop().time() + within
    over = [asyncio.ensure_future(one.wait()) for one in ends]
    coming: asyncio.Task[ServerSentEvent] | None = None
    try:
        while True:
            coming = asyncio.create_task(anext(updates))
            left = last - asyncio.get_running_loop().time()
            await asyncio.wait({coming, *over}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if any(one.done() for one in over) or left <= 0 or not coming.done():
                return
            try:
                update = coming.result()
            except StopAsyncIteration:
                return
            yield update
    finally:
        for one in over:
            one.cancel()
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
