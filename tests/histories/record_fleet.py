"""Records a history of the fleet: ``.venv/bin/python -m tests.histories.record_fleet 0.1.0-fleet``.

As ``record`` does those of rollouts. A fleet outlives every release, so its histories must replay on every later one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from coalmine.records import Phase
from tests.histories.record import FOLDER, plain
from tests.workflows.harbour import opened
from tests.workflows.serving import add_search_attributes


async def main(folder_name: str) -> None:
    """One slot, two rollouts: the second waits for the first, both are rejected, and the limit goes."""
    logging.disable(logging.WARNING)
    server = Path(sys.executable).with_name("temporal-test-server")
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(server), data_converter=pydantic_data_converter
    )
    await add_search_attributes(environment.client)
    async with environment, opened(environment) as port:
        await port.limit(1)
        first, _ = await port.start("a")
        second, _ = await port.start("b")
        await first.send("reject")
        await first.result()
        await second.reach(Phase.GATED)
        await port.limit(None)
        await second.send("reject")
        await second.result()
        history = await environment.client.get_workflow_handle("fleet/test").fetch_history()
    path = FOLDER / folder_name / "slots.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(plain(history.to_json_dict()), separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{path.relative_to(FOLDER)}: {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
