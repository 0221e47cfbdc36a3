"""An HTTP endpoint that answers as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Heard:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Endpoint:
    """Answers each request with the next of ``answers``, and the last one for ever after."""

    url: str = ""
    answers: list[web.Response | Answer] = field(default_factory=lambda: [web.Response()])
    heard: list[Heard] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.content_type == "application/json" else await request.text()
        self.heard.append(Heard(request.method, request.path_qs, dict(request.headers), body))
        self.arrived.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, web.Response):
            # A response object can be sent only once.
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return await answer(request)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """A real HTTP server on a free port of loopback."""
    made = Endpoint()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", made.handle)
    server = TestServer(application)
    await server.start_server()
    made.url = str(server.make_url("/"))
    yield made
    await server.close()
