"""Whether a rollout of 5,000 looks completes: continue-as-new on a server whose time skips, in a scripted world.

The record must be whole at the end: every look in the ledger, every window tiling, three writes of the route.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from benchmarks import report
from benchmarks.ending import run
from coalmine.records import Outcome
from tests.workflows.driving import Rollout
from tests.workflows.serving import add_search_attributes, workers
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.windows import tiles
from tests.workflows.world import World

LOOK = 10
"""Seconds between looks, of the server's time."""


async def measure(looks: int) -> dict[str, Any]:
    """One rollout of so many looks."""
    server = Path(sys.executable).with_name("temporal-test-server")
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(server), data_converter=pydantic_data_converter
    )
    await add_search_attributes(environment.client)
    world = World(client=environment.client)

    async def sleep(seconds: float) -> None:
        await environment.sleep(timedelta(seconds=seconds))

    half = f"{looks * LOOK // 2}s"
    spec = make_spec(
        steps=[{"weight": 10, "for": half}, {"weight": 50, "for": half}],
        policy={"look": f"{LOOK}s"},
        promotion={"bake": "1m", "rollback_window": "1m"},
    )
    began = time.monotonic()
    async with environment, AsyncExitStack() as stack:
        for worker in workers(environment.client, world):
            await stack.enter_async_context(worker)
        rollout = Rollout(environment.client, world, sleep, environment.get_current_time)
        await rollout.start(make_submission(spec))
        outcome = (await rollout.result(step=40 * LOOK)).outcome
        runs = 0
        run_id: str | None = (await rollout.handle.describe()).run_id
        while run_id:
            runs += 1
            first = (await environment.client.get_workflow_handle(rollout.id, run_id=run_id).fetch_history()).events[0]
            run_id = first.workflow_execution_started_event_attributes.continued_execution_run_id
    seconds = time.monotonic() - began
    compared = sum(look.stage == "compare" for look in world.evaluations)
    entries = sorted(sequence for _, sequence in world.ledger)
    return {
        "looks": len(world.evaluations),
        "asked_for": looks,
        "runs": runs,
        "seconds": round(seconds, 1),
        "outcome": str(outcome),
        "complete": outcome is Outcome.PROMOTED
        and compared >= looks * 0.95
        and entries == list(range(1, len(entries) + 1))
        and tiles(world.windows["errors"][:compared])
        and len(world.writes) == 3,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--looks", type=int, default=5_000)
    figures = run(measure(parser.parse_args().looks))
    print(figures)
    print(report.write("history", figures))
    raise SystemExit(not figures["complete"])


if __name__ == "__main__":
    main()
