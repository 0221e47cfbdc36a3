"""Asking an environment's fleet to ban a version or to lift a ban; the fleet is started when there is none yet."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from coalmine.connection import meaning, no_worker
from coalmine.errors import InputError, RefusedError, TemporalUnavailable
from coalmine.pollers import await_worker
from coalmine.records import EVERYWHERE, TASK_QUEUE, Ban, FleetRequest, FleetState, Record, fleet_id
from coalmine.records.texts import check_writable
from coalmine.spec.base import IDENTIFIER

WITHIN = timedelta(seconds=10)
"""How long a request waits for a worker."""
Answer = TypeVar("Answer", bound=Record)


async def ask_fleet(client: Client, request: FleetRequest) -> Ban:
    """Send ``ban`` or ``unban`` and return what is, or was, banned.

    Raises:
        InputError: no spec could have these names, so the ban would keep nobody from anything.
        RefusedError: something is missing, or the version is not banned.
        TemporalUnavailable: no worker answers.
    """
    if request.verb == "ban":
        check_names(request.environment, request.service, request.region)
    return await update_fleet(client, request.environment, request.verb, request, Ban)


async def update_fleet(client: Client, environment: str, name: str, given: Record, answer: type[Answer]) -> Answer:
    """Send the fleet of an environment an update, and start it when there is none yet.

    Raises:
        InputError: a text cannot be sent; names the field.
        RefusedError: the fleet refused it; says why.
        TemporalUnavailable: no worker answers.
    """
    check_writable(given)
    workflow_id = fleet_id(environment)
    await await_worker(client, f"the fleet of {environment} cannot answer", WITHIN)
    operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        "Fleet",
        FleetState(environment=environment),
        id=workflow_id,
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=f"fleet of {environment}",
    )
    try:
        async with asyncio.timeout(WITHIN.total_seconds()):
            answered = await client.execute_update_with_start_workflow(
                name, given, start_workflow_operation=operation, result_type=answer
            )
            return answer.model_validate(answered)
    except WorkflowUpdateFailedError as error:
        raise RefusedError(str(getattr(error.cause, "message", error.cause))) from None
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        raise TemporalUnavailable(no_worker(f"{workflow_id} does not answer")) from None
    except RPCError as error:
        raise meaning(error, f"fleet {workflow_id}", client.namespace, WITHIN) from error


def check_names(environment: str, service: str | None, region: str | None = None) -> None:
    """Names that a spec could have; ``EVERYWHERE`` stands for all environments.

    Raises:
        InputError: one could not.
    """
    place = None if environment == EVERYWHERE else environment
    for key, name in (("service", service), ("environment", place), ("region", region)):
        if name is not None and not re.fullmatch(IDENTIFIER, name):
            raise InputError(f"{key}: {name!r} cannot be a name: it has letters, digits, '.', '_' and '-' only")
