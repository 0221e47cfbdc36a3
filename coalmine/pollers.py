"""Who polls a task queue: without a worker nothing starts, and nothing answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel
from temporalio.api.enums.v1 import TaskQueueType, WorkerVersioningMode
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from coalmine.connection import asking, may_pass, no_worker
from coalmine.errors import TemporalUnavailable
from coalmine.records import TASK_QUEUE

FRESH = timedelta(seconds=90)
"""A poll waits up to a minute at the server; a poller not seen for longer than this is gone."""
_CALL = timedelta(seconds=5)
_VERSIONED = WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED
_KINDS = {
    "workflows": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activities": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}


class Poller(BaseModel):
    """One worker that polls a task queue, as the server saw it last."""

    task_queue: str
    kind: str
    """``workflows`` or ``activities``."""
    identity: str
    seen_at: datetime
    build_id: str = ""
    """The worker deployment's build id, when it runs versioned."""


async def pollers(client: Client, task_queue: str, kind: str) -> list[Poller]:
    """The workers that poll now.

    Raises:
        TemporalUnavailable: the server does not say.
    """
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=_KINDS[kind]
    )
    async with asking(f"task queue '{task_queue}'", client.namespace, _CALL):
        answer = await client.workflow_service.describe_task_queue(request, timeout=_CALL)
    oldest = datetime.now(UTC) - FRESH
    found = []
    for info in answer.pollers:
        seen = info.last_access_time.ToDatetime(tzinfo=UTC)
        if seen >= oldest:
            # An unversioned worker sends a hash of its code as build id; it pins nothing.
            versioned = info.deployment_options.worker_versioning_mode == _VERSIONED
            build = info.deployment_options.build_id if versioned else ""
            found.append(Poller(task_queue=task_queue, kind=kind, identity=info.identity, seen_at=seen, build_id=build))
    return found


async def await_worker(client: Client, about: str, within: timedelta) -> None:
    """Wait until somebody polls for workflows; a server that is slow or away for a moment is asked again.

    Raises:
        TemporalUnavailable: nobody did in time, or the server did not say; or it will say the same again.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + within.total_seconds()
    while True:
        try:
            if await pollers(client, TASK_QUEUE, "workflows"):
                return
            why = no_worker(about)
        except TemporalUnavailable as error:
            if not may_pass(error):
                raise
            why = str(error)
        if loop.time() >= end:
            raise TemporalUnavailable(f"{why} (waited {within.total_seconds():g} s; nothing was started)")
        await asyncio.sleep(0.2)
