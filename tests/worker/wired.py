"""What worker processes of tests do: they are wired by ``worker.py``, by the settings of the environment, as always."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from temporalio.client import Client
from temporalio.worker import Worker

import worker
from activities.log_lines import configure_logging
from coalmine.worker_settings import WorkerSettings

Build = Callable[[Client, WorkerSettings], Sequence[Worker]]


def serve(build: Build) -> NoReturn:
    """Serve with these workers until SIGTERM, and end this process."""
    asyncio.run(_serve(build))
    sys.stderr.flush()
    os._exit(0)


async def _serve(build: Build) -> None:
    settings = WorkerSettings.of(os.environ)
    configure_logging(settings.log_level)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await worker.connect(settings)
    await worker.serve(build(client, settings), stop)
