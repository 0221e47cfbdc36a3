"""The web socket over which Slack sends requests to an app in socket mode."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import Any

from aiohttp import WSMsgType, web


class Socket:
    """One app's socket."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        """It is open."""
        self._numbers = count(1)
        self._socket: web.WebSocketResponse | None = None
        self._acks: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def push(self, kind: str, payload: dict[str, Any], retry: int = 0, envelope: str = "") -> dict[str, Any]:
        """Send a request over the app's socket, and wait for its acknowledgement."""
        assert self._socket is not None, "no socket of the app is open"
        envelope = envelope or f"envelope-{next(self._numbers)}"
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._acks[envelope] = answer
        sent: dict[str, Any] = {
            "envelope_id": envelope,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": True,
        }
        if retry:
            sent |= {"retry_attempt": retry, "retry_reason": "timeout"}
        await self._socket.send_json(sent)
        async with asyncio.timeout(30):
            return await answer

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Take the app's connection, and its acknowledgements."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._socket = socket
        await socket.send_json({"type": "hello", "num_connections": 1})
        self.connected.set()
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.data.startswith("{"):
                answer = json.loads(message.data)
                waiting = self._acks.pop(answer.get("envelope_id", ""), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        return socket
