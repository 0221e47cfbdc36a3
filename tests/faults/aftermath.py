"""What is done when a rollout of the harness is over and examined."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from activities.routers.envoy import EnvoyRouter
from benchmarks.ground import BASELINE, CANARY
from coalmine.errors import RouterError
from coalmine.records import guard_id
from coalmine.spec.canary import Route
from tests.faults.scene import ENVIRONMENT

if TYPE_CHECKING:
    from tests.faults.act import Act


async def keep(act: Act, runs: Sequence[str], folder: Path) -> None:
    """The history of every run, and of the guard's latest, to be replayed: ``tests/histories`` shows how."""
    first, client = act.planned.faults[0], act.scene.ground.client
    for number, run in enumerate(runs):
        handle = client.get_workflow_handle(act.handle.id, run_id=run)
        name = f"{first.kind}-{first.moment}-{first.seed}-{number}.json"
        (folder / name).write_text((await handle.fetch_history()).to_json())
    guard = client.get_workflow_handle(guard_id(ENVIRONMENT))
    name = f"{first.kind}-{first.moment}-{first.seed}-guard.json"
    (folder / name).write_text((await guard.fetch_history()).to_json())


async def clear(act: Act) -> None:
    """Traffic back to the baseline, by a newer generation, for the next rollout here."""
    router, named = EnvoyRouter(), Route.model_validate(act.scene.ground.route(act.route))
    while True:
        with suppress(RouterError, TimeoutError):
            await router.apply(named, {BASELINE: 100.0, CANARY: 0.0}, act.generation() + 1)
            await act.scene.ground.until_restored(act.route)
            return
        await asyncio.sleep(0.2)
