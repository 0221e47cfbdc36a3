"""HEAD, as uptime checks and link previews ask: the answer to GET without its body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

WITHOUT_END = "/events/"
"""Streams: there is no answer whose head could be told apart from following it."""


class HeadAsGet:
    """Asks what is within for the same by GET, and passes on no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on; anything but HEAD as it is."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].startswith(WITHOUT_END):
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, sent)
