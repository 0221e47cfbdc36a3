"""Records a history of the traffic guard: ``.venv/bin/python -m tests.histories.record_guard 0.1.0-guard``.

As ``record`` does those of rollouts. A guard outlives every release, so its histories must replay on every later one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import timedelta

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from coalmine.records import GuardRestored, Survey
from tests.histories.record import FOLDER, plain, time_skipping
from tests.test_guarding import watched
from tests.workflows.test_guard_time import serving
from tests.workflows.world import World


async def main(folder_name: str) -> None:
    """What is split is restored at the second try; the ledger is away meanwhile; then all is well, and it is off."""
    logging.disable(logging.WARNING)
    environment: WorkflowEnvironment = await time_skipping(pydantic_data_converter)
    async with environment, serving(environment, World(client=environment.client)) as scene:
        scene.world.ledger_down = True
        scene.answer = GuardRestored(done=False, reason="StaleGeneration: 9")
        handle = await scene.start(every=timedelta(minutes=1), grace=timedelta(minutes=1))
        await scene.sleep(3)
        scene.world.ledger_down, scene.answer = False, GuardRestored(done=True)
        await scene.sleep(2)
        scene.survey = lambda: Survey(watched=[watched()])
        await scene.sleep(3)
        await scene.end(handle)
        history = await handle.fetch_history()
    path = FOLDER / folder_name / "guarded.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(plain(history.to_json_dict()), separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{path.relative_to(FOLDER)}: {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
