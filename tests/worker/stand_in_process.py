"""A worker process wired by ``worker.py`` that serves the stand-in."""

from __future__ import annotations

from temporalio.client import Client
from temporalio.worker import Worker

import worker
from coalmine.worker_settings import WorkerSettings
from tests.worker.stand_in import StandIn, slow_read
from tests.worker.wired import serve


def with_stand_in(client: Client, settings: WorkerSettings) -> list[Worker]:
    """The stand-in on the main queue."""
    return worker.build_workers(client, settings, main=[slow_read], workflows=[StandIn])


if __name__ == "__main__":
    serve(with_stand_in)
