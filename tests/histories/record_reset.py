"""Records what runs did that a reset made: ``.venv/bin/python -m tests.histories.record_reset 0.1.0-reset``.

All of the scripts, or those that are named after the folder.

As ``record`` does, but on the dev server and in real time, for the one whose time skips knows no reset.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client

from coalmine.records import Phase
from coalmine.starting import start
from tests.conftest import NAMESPACE, TemporalServer, start_dev_server
from tests.histories.record import FOLDER, write
from tests.workflows.driving import Rollout
from tests.workflows.serving import now, workers
from tests.workflows.specs import make_submission, quick
from tests.workflows.test_dev_server import temporal
from tests.workflows.world import World, leave, take
from workflows.runner import HistoryBoundRunner

GATED = [
    {"weight": 10, "for": "1s"},
    {"weight": 50, "for": "1s", "gate": {"name": "go", "approval": {"timeout": "10h", "count": 2}}},
]
SPEC = quick(
    steps=GATED,
    hooks={"prepare": "http://127.0.0.1:1/prepare"},
    promotion={"bake": "1s", "rollback_window": "1s"},
)
Reset = Callable[[str, int], Awaitable[None]]


async def _at_its_gate(rollout: Rollout) -> tuple[str, list[int]]:
    """A release that ``coalmine start`` began, as it waits for two: its run, and the tasks that are done."""
    await start(rollout.client, make_submission(SPEC), timedelta(seconds=60))
    await rollout.reach(Phase.GATED)
    run_id = (await rollout.handle.describe()).run_id
    return run_id, await rollout.tasks(run_id)


async def reset_to_the_gate(rollout: Rollout, reset: Reset) -> None:
    """Approvals by update and by signal, and one that is refused, are heard again at the gate; two more open it."""
    run_id, tasks = await _at_its_gate(rollout)
    await rollout.say("approve", by="bo")
    await rollout.send("pause")
    await rollout.say("resume")
    await reset(run_id, tasks[-1])
    await rollout.refused("approve", gate="none")
    for who in ("cy", "di"):
        await rollout.send("approve", by=who)
    await rollout.end()


async def reset_to_the_first_task(rollout: Rollout, reset: Reset) -> None:
    """The submission is heard again by update, and so is an approval that meets no gate yet."""
    run_id, tasks = await _at_its_gate(rollout)
    await rollout.say("approve", by="bo")
    await reset(run_id, tasks[0])
    await rollout.reach(Phase.GATED)
    await rollout.say("rollback", reason="enough")
    await rollout.end()


async def reset_in_the_middle_of_a_hook(rollout: Rollout, reset: Reset) -> None:
    """The call that was copied is not made; the run orders it itself, once it knows whose the route is."""
    rollout.world.hook_gate = asyncio.Event()
    given = make_submission(SPEC.model_copy(update={"steps": SPEC.steps[:1]}))
    begun = asyncio.create_task(start(rollout.client, given, timedelta(seconds=5)))
    while not rollout.world.hooks:
        await asyncio.sleep(0.05)
    run_id = (await rollout.handle.describe()).run_id
    ordered = len(await rollout.tasks(run_id))
    await rollout.send("anything")
    while len(await rollout.tasks(run_id)) == ordered:
        await asyncio.sleep(0.05)
    await begun
    tasks = await rollout.tasks(run_id)
    rollout.world.hook_gate.set()
    rollout.world.hook_gate = None
    await reset(run_id, tasks[-1])
    await rollout.end()


async def lost_to_a_later_one(rollout: Rollout, reset: Reset) -> None:
    """A later rollout has written the route since: nothing is written, it is blocked."""
    run_id, tasks = await _at_its_gate(rollout)
    await rollout.send("rollback")
    await rollout.end()
    rollout.world.recall_later = "test/checkout/1.2.0/1"
    await reset(run_id, tasks[-1])
    await rollout.end()


async def ended_a_later_one(rollout: Rollout, reset: Reset) -> None:
    """A later rollout was under way: what it left is put back, on an advisory router, before this one is blocked."""
    run_id, tasks = await _at_its_gate(rollout)
    await _ends_a_later_one(rollout, reset, run_id, tasks[-1])


async def ended_a_later_one_when_closed(rollout: Rollout, reset: Reset) -> None:
    """So it is where the rollout was over at that task; it stays as it was told."""
    run_id, _ = await _at_its_gate(rollout)
    await _ends_a_later_one(rollout, reset, run_id, None)


async def _ends_a_later_one(rollout: Rollout, reset: Reset, run_id: str, task: int | None) -> None:
    await rollout.send("rollback")
    await rollout.end()
    rollout.world.lease = 2
    take(rollout.world, SPEC, 10)
    await reset(run_id, task or (await rollout.tasks(run_id))[-1])
    await rollout.end()


SCRIPTS = [
    reset_to_the_gate,
    reset_to_the_first_task,
    reset_in_the_middle_of_a_hook,
    lost_to_a_later_one,
    ended_a_later_one,
    ended_a_later_one_when_closed,
]


async def record(script: Callable[[Rollout, Reset], Awaitable[None]], client: Client, folder: Path) -> Path:
    """Play one script, and write the history of the run that the reset made."""
    world = World(client=client)
    server = TemporalServer(client.service_client.config.target_host, client.namespace)
    async with AsyncExitStack() as stack:
        # As in production, and reading the history from its beginning at every task: what is recorded was replayed.
        for worker in workers(client, world, max_cached_workflows=0, workflow_runner=HistoryBoundRunner()):
            await stack.enter_async_context(worker)
        rollout = Rollout(client, world, asyncio.sleep, now, tick=0.05)

        async def reset(run_id: str, task: int) -> None:
            if not world.recall_later:
                leave(world, SPEC, world.canary)
            words = ["workflow", "reset", "-w", rollout.id, "-r", run_id, "--event-id", str(task), "--reason", "test"]
            await temporal(server, *words)
            await rollout.happens(lambda: world.recalls > 0)

        await script(rollout, reset)
        return write(await rollout.handle.fetch_history(), folder / f"{script.__name__}.json")


async def main(folder_name: str, *names: str) -> None:
    """All of them, or those of these names."""
    logging.disable(logging.WARNING)
    folder = FOLDER / folder_name
    folder.mkdir(exist_ok=True)
    for script in [script for script in SCRIPTS if script.__name__ in (names or [one.__name__ for one in SCRIPTS])]:
        # A server of its own: a start asks what was promoted before.
        environment = await start_dev_server(NAMESPACE, with_attributes=True)
        try:
            path = await record(script, environment.client, folder)
            print(f"{path.relative_to(FOLDER)}: {path.stat().st_size // 1024} KB")
        finally:
            await environment.shutdown()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
