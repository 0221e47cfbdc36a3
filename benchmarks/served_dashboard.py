"""A dashboard that is served for a benchmark, or for pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from coalmine.client import Coalmine
from coalmine.dashboard import app, serving
from coalmine.dashboard.acting import Actor
from coalmine.dashboard.auth.bearer import Bearer
from coalmine.dashboard.auth.nobody import Nobody
from coalmine.dashboard.context import Settings
from coalmine.dashboard.places import Place
from coalmine.dashboard.session import Sessions


@asynccontextmanager
async def dashboard(coalmine: Coalmine, person: str = "") -> AsyncIterator[str]:
    """A dashboard while the block runs: its address."""
    listening = serving.bind("127.0.0.1", 0)
    place = Place(f"http://127.0.0.1:{listening.getsockname()[1]}")
    settings = Settings(
        rollouts=coalmine,
        access=Nobody(person),
        sessions=Sessions("only-for-this-benchmark-" * 2, place.secure),
        place=place,
        actor=Actor(coalmine),
        bearer=Bearer([]),
    )
    built = app.build(settings)
    server = serving.server(built)
    task = asyncio.create_task(server.serve([listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield place.url
    finally:
        built.state.streams.end()
        server.should_exit = True
        await task
