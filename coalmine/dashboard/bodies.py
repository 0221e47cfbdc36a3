"""How much of a body is read: a limit on every path, whoever reads it, and whether or not its length was told."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST = 64 * 1024
"""Bytes, on every path that asks for no more."""
_LIMIT = "coalmine.body"


@dataclass
class _Limit:
    most: int = MOST

    def check(self, size: int) -> None:
        if size > self.most:
            raise HTTPException(413, f"the body has more than {self.most:,} bytes, which is the most that is read here")


class BodyLimit:
    """Whoever reads a body that is too large hears so: at once where its length was told, else where it is reached.

    What nobody reads is not looked at. So whoever is not known hears that, however much they send.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, and count what is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = scope[_LIMIT] = _Limit()
        told = Headers(scope=scope).get("content-length", "")
        # Of a number with more digits than any length has, those it begins with are enough to refuse it.
        size, read, answered = int(told[:20]) if told.isascii() and told.isdigit() else 0, 0, False

        async def received() -> Message:
            nonlocal read
            if answered:
                # It is only waited for the end of the connection, and thrown away what comes until then.
                return await receive()
            # Before anything is asked for: who waits for "100 Continue" then sends nothing.
            limit.check(size)
            message = await receive()
            read += len(message.get("body", b""))
            limit.check(read)
            return message

        async def sent(message: Message) -> None:
            nonlocal answered
            answered = answered or message["type"] == "http.response.start"
            await send(message)

        await self._app(scope, received, sent)


async def read_body(request: Request, most: int) -> bytes:
    """A body for which ``MOST`` is too little.

    Raises:
        HTTPException: it has more than ``most`` bytes (413).
    """
    limit: _Limit = request.scope[_LIMIT]
    limit.most = most
    return await request.body()
