"""Turning an environment's traffic guard on and off, and asking it what it found."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.service import RPCError

from coalmine.connection import asking, meaning, no_worker
from coalmine.errors import InputError, RefusedError, RolloutNotFound, TemporalUnavailable
from coalmine.executions import describe
from coalmine.pollers import await_worker
from coalmine.questions import ask
from coalmine.records import TASK_QUEUE, TASK_TIMEOUT, GuardSettings, GuardState, GuardStatus, guard_id
from coalmine.search_attributes import ENVIRONMENT
from coalmine.spec.base import IDENTIFIER

WITHIN = timedelta(seconds=10)
"""How long a request waits for a worker."""
SHORTEST = timedelta(seconds=1)
"""Between two looks."""


async def turn_on(client: Client, environment: str, settings: GuardSettings) -> GuardStatus:
    """Start the guard, or change what it does.

    Raises:
        InputError: the environment is no name, or the interval is too short.
        TemporalUnavailable: no worker answers.
    """
    if not re.fullmatch(IDENTIFIER, environment):
        raise InputError(
            f"environment: {environment!r} cannot be a name: it has letters, digits, '.', '_' and '-' only"
        )
    if settings.every < SHORTEST:
        raise InputError(f"every: {settings.every} is too short: a look takes about a second, such as 30s or 1m")
    workflow_id = guard_id(environment)
    await await_worker(client, f"the guard of {environment} cannot be set", WITHIN)
    operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        "TrafficGuard",
        GuardState(environment=environment, settings=settings),
        id=workflow_id,
        task_queue=TASK_QUEUE,
        task_timeout=TASK_TIMEOUT,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        search_attributes=TypedSearchAttributes([SearchAttributePair(ENVIRONMENT, environment)]),
        static_summary=f"Traffic guard of {environment}",
    )
    try:
        async with asyncio.timeout(WITHIN.total_seconds()):
            answer = await client.execute_update_with_start_workflow(
                "configure", settings, start_workflow_operation=operation, result_type=GuardStatus
            )
            return GuardStatus.model_validate(answer)
    except WorkflowUpdateFailedError as error:
        raise RefusedError(str(getattr(error.cause, "message", error.cause))) from None
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        raise TemporalUnavailable(no_worker(f"{workflow_id} does not answer")) from None
    except RPCError as error:
        raise meaning(error, f"guard {workflow_id}", client.namespace, WITHIN) from error


async def turn_off(client: Client, environment: str) -> GuardStatus:
    """Turn the guard off.

    Raises:
        RolloutNotFound: it is off already.
        TemporalUnavailable: no worker answers.
    """
    workflow_id = guard_id(environment)
    try:
        async with asking(f"guard {workflow_id}: it is off already", client.namespace, WITHIN):
            answer = await client.get_workflow_handle(workflow_id).execute_update(
                "off", result_type=GuardStatus, rpc_timeout=WITHIN
            )
    except WorkflowUpdateRPCTimeoutOrCancelledError:
        raise TemporalUnavailable(no_worker(f"{workflow_id} does not answer")) from None
    return GuardStatus.model_validate(answer)


async def status(client: Client, environment: str) -> GuardStatus:
    """What the guard found; ``running`` is False when it is off or was never turned on.

    Raises:
        TemporalUnavailable: no worker answers.
    """
    workflow_id = guard_id(environment)
    handle = client.get_workflow_handle(workflow_id)
    try:
        async with asking(f"guard {workflow_id}", client.namespace, WITHIN):
            described = await describe(client, workflow_id, None, WITHIN)
        answer = await ask(client, handle, "status", GuardStatus, WITHIN)
    except RolloutNotFound:
        return GuardStatus(environment=environment, running=False)
    running = described.close_time is None and answer.running
    return answer.model_copy(update={"running": running})
