"""A worker process wired by ``worker.py`` that serves the real workflows, in the scripted world of tests."""

from __future__ import annotations

from temporalio.client import Client
from temporalio.worker import Worker

import worker
from coalmine.worker_settings import WorkerSettings
from tests.worker.wired import serve
from tests.workflows.world import World


def in_scripted_world(client: Client, settings: WorkerSettings) -> list[Worker]:
    """All queues."""
    world = World(client=client)
    return worker.build_workers(
        client, settings, main=world.activities, side=world.side_activities, hooks=world.hook_activities
    )


if __name__ == "__main__":
    serve(in_scripted_world)
