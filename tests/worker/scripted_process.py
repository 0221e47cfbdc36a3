"""A worker process wired by ``worker.py`` that serves the real workflows, in the scripted world of tests."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import worker
from activities.log_lines import configure_logging
from coalmine.worker_settings import WorkerSettings
from tests.workflows.world import World


async def main() -> None:
    """Serve until SIGTERM."""
    settings = WorkerSettings.of(os.environ)
    configure_logging(settings.log_level)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await worker.connect(settings)
    world = World(client=client)
    workers = worker.build_workers(
        client, settings, main=world.activities, side=world.side_activities, hooks=world.hook_activities
    )
    await worker.serve(workers, stop)


if __name__ == "__main__":
    asyncio.run(main())
    sys.stderr.flush()
    os._exit(0)
