"""Workers in the scripted world, and the time of the servers they work for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.testservice.v1 import SleepRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from coalmine.records import HOOK_TASK_QUEUE, SIDE_TASK_QUEUE, TASK_QUEUE
from coalmine.search_attributes import SEARCH_ATTRIBUTES
from tests.workflows.world import World
from workflows.canary import Canary
from workflows.fleet import Fleet
from workflows.one_input import OneInput

PASSING = timedelta(minutes=3)
"""Real time that a stretch of the server's time may take: a slow machine needs a minute for an hour full of looks."""


async def now() -> datetime:
    """The dev server's time."""
    return datetime.now(UTC)


async def add_search_attributes(client: Client) -> None:
    """Register ours; the time-skipping server knows none."""
    kinds = {
        name: IndexedValueType.INDEXED_VALUE_TYPE_INT if kind == "Int" else IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        for name, kind in SEARCH_ATTRIBUTES.items()
    }
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds)
    )


def workers(client: Client, world: World, **options: Any) -> list[Worker]:
    """All queues, with the sandbox as in production."""
    main = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Canary, Fleet],
        activities=world.activities,
        interceptors=[OneInput()],
        **options,
    )
    side = Worker(client, task_queue=SIDE_TASK_QUEUE, activities=world.side_activities)
    hooks = Worker(client, task_queue=HOOK_TASK_QUEUE, activities=world.hook_activities)
    return [main, side, hooks]


async def pass_time(env: WorkflowEnvironment, length: timedelta) -> None:
    """Let the server's time pass; ``env.sleep`` gives up after 30 s of real time."""
    request = SleepRequest()
    request.duration.FromTimedelta(length)
    await env.client.test_service.unlock_time_skipping_with_sleep(request, timeout=PASSING)
