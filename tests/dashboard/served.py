"""A dashboard that is served on loopback, for tests; and a browser's manners without a browser."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from coalmine.dashboard import app, serving
from coalmine.dashboard.acting import Actor
from coalmine.dashboard.auth.bearer import Bearer
from coalmine.dashboard.auth.nobody import Nobody
from coalmine.dashboard.clients import Network
from coalmine.dashboard.context import Settings
from coalmine.dashboard.limits import Limits
from coalmine.dashboard.people import Access
from coalmine.dashboard.places import Place
from coalmine.dashboard.session import Sessions
from coalmine.identity.issuers import Issuer
from coalmine.identity.service import new_service_key
from coalmine.rollouts import Releases
from coalmine.spec.ledger import Ledger

SECRET = "for-tests-only-" * 3
KEY = new_service_key("dashboard-1")
PATIENCE = 30.0
"""Seconds until something that has to come is late: machines are busy."""


@dataclass
class Served:
    """One dashboard: where it is, and who asks it."""

    url: str
    settings: Settings
    client: httpx.AsyncClient
    app: Any

    async def page(self, path: str, status: int = 200, **options: Any) -> str:
        """A page's text."""
        answer = await self.client.get(path, **options)
        assert answer.status_code == status, answer.text
        return answer.text

    async def form(self, path: str) -> dict[str, str]:
        """The fields of a confirmation's form as they are before anything is typed."""
        text = await self.page(path)
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text))

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The updates of a page."""
        async with self.client.stream("GET", path, timeout=PATIENCE) as answer:
            assert answer.status_code == 200

            async def updates() -> AsyncIterator[dict[str, Any]]:
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        yield json.loads(line.removeprefix("data: "))

            yield updates()


async def until(updates: AsyncIterator[dict[str, Any]], met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first update that is as wanted."""
    async with asyncio.timeout(PATIENCE):
        async for update in updates:
            if met(update):
                return update
    raise AssertionError("the stream ended")


@asynccontextmanager
async def served(
    rollouts: Releases,
    access: Callable[[Place, Sessions], Access] | None = None,
    *,
    key: dict[str, Any] | None = KEY,
    issuers: list[Issuer] | None = None,
    ledger: Ledger | None = None,
    every: float = 0.05,
    headers: dict[str, str] | None = None,
    limits: Limits | None = None,
    proxies: Sequence[Network] = (),
) -> AsyncIterator[Served]:
    """Serve while the block runs; unless told, whoever comes is ana, whom nobody proved."""
    listening = serving.bind("127.0.0.1", 0)
    place = Place(f"http://127.0.0.1:{listening.getsockname()[1]}")
    sessions = Sessions(SECRET, place.secure)
    settings = Settings(
        rollouts=rollouts,
        access=access(place, sessions) if access is not None else Nobody("ana"),
        sessions=sessions,
        place=place,
        actor=Actor(rollouts, key),
        bearer=Bearer(issuers or []),
        ledger=ledger,
        every=every,
        limits=limits or Limits(),
        proxies=proxies,
    )
    built = app.build(settings)
    server = serving.server(built)
    task = asyncio.create_task(server.serve([listening]))
    try:
        async with asyncio.timeout(PATIENCE):
            while not server.started:
                assert not task.done(), "the server ended"
                await asyncio.sleep(0.01)
        async with httpx.AsyncClient(
            base_url=place.url, headers=headers, timeout=PATIENCE, trust_env=False, verify=False
        ) as client:
            yield Served(place.url, settings, client, built)
    finally:
        built.state.streams.end()
        server.should_exit = True
        await task
        listening.close()
