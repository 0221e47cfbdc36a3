"""A key server on loopback, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from coalmine.identity.signing import public_half


@dataclass
class KeyServer:
    """Answers with a JWKS of ``people``, or with what it is told; counts how often it was asked."""

    people: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    answer: web.Response | None = None
    asked: int = 0
    hang: asyncio.Event | None = None

    async def serve(self, request: web.Request) -> web.Response:
        """Answer anything."""
        self.asked += 1
        if self.hang is not None:
            await self.hang.wait()
        if self.answer is not None:
            return web.Response(status=self.answer.status, body=self.answer.body, headers=self.answer.headers)
        return web.json_response({"keys": [public_half(key) for key in self.people]})


@asynccontextmanager
async def key_server(*people: dict[str, Any]) -> AsyncIterator[KeyServer]:
    """One on a free port, while the block runs."""
    server, app = KeyServer(list(people)), web.Application()
    app.router.add_get("/{any:.*}", server.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
        yield server
    finally:
        if server.hang is not None:
            server.hang.set()
        await runner.cleanup()
