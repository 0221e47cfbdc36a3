"""The activity that tells every rollout of an environment to stop, or to go back."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

from temporalio import activity
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError

from activities.beating import beating
from activities.failures import translate_errors
from coalmine.connection import lacks_workflow
from coalmine.errors import TemporalUnavailable
from coalmine.executions import PAGE, Execution, describe, is_paused, listed, paused_sentence
from coalmine.records import BRAKE, EVERYWHERE, Braked, BrakeRequest, CommandInput, Phase
from coalmine.search_attributes import PHASE
from coalmine.ui_views import OPEN

AT_ONCE = 10
AT_REST = frozenset({Phase.WINDOW, Phase.ROLLING_BACK, Phase.CLOSED})
"""Phases of what is in flight no more: promoted, or on its way back."""
ANSWER_WITHIN = timedelta(seconds=5)
_LIST_WITHIN = timedelta(seconds=10)
TOOK_IT, AT_REST_ALREADY = "took it", "at rest"


class BrakeActivities:
    """Braking, through Temporal."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=BRAKE.name)
    async def brake(self, request: BrakeRequest) -> Braked:
        """Tell every rollout in flight that has not taken it yet; to be told twice harms nobody.

        A rollback is a signal, which counts in every phase. A pause is an update: where it means nothing yet (while the
        rollout is admitted, say) that is an answer, and it is told again.

        Visibility tells of a start some moments later: ``known`` are those that the fleet has admitted itself.

        Raises:
            ApplicationError: ``TemporalUnavailable``, to be retried.
        """
        with translate_errors():
            async with beating():
                ids = sorted({*request.known, *await self._listed(request.environment)} - {*request.told})
                few = asyncio.Semaphore(AT_ONCE)
                answers = await asyncio.gather(*(self._tell(name, request, few) for name in ids))
        told = [name for name, answer in zip(ids, answers, strict=True) if answer == TOOK_IT]
        refused = {
            name: answer for name, answer in zip(ids, answers, strict=True) if answer not in (TOOK_IT, AT_REST_ALREADY)
        }
        return Braked(told=told, refused=refused)

    async def _listed(self, environment: str) -> list[str]:
        query = f"WorkflowType = 'Canary' AND {OPEN}"
        if environment != EVERYWHERE:
            query += f" AND CoalmineEnvironment = {json.dumps(environment)}"
        try:
            return [run.execution.workflow_id async for run in listed(self._client, query, PAGE, _LIST_WITHIN)]
        except RPCError as error:
            raise TemporalUnavailable(f"the rollouts of {environment} cannot be listed: {error.message}") from error

    async def _tell(self, workflow_id: str, request: BrakeRequest, few: asyncio.Semaphore) -> str:
        """``TOOK_IT``, ``AT_REST_ALREADY``, or why it did not take it."""
        handle = self._client.get_workflow_handle(workflow_id)
        word = CommandInput(by=request.by, reason=f"emergency brake: {request.reason}")
        try:
            async with few:
                latest = await describe(self._client, workflow_id, None, ANSWER_WITHIN)
                phase = _phase(latest)
                if phase in AT_REST:
                    return AT_REST_ALREADY
                if request.action == "roll_back":
                    await handle.signal("rollback", word)
                elif phase != Phase.HELD:
                    async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
                        await handle.execute_update("pause", word, rpc_timeout=ANSWER_WITHIN)
        except WorkflowUpdateFailedError as error:
            return str(getattr(error.cause, "message", error.cause))
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
            return f"no answer within {ANSWER_WITHIN.total_seconds():g} s"
        except RPCError as error:
            if lacks_workflow(error):
                return AT_REST_ALREADY
            if is_paused(error):
                return paused_sentence(workflow_id, self._client.namespace)
            raise TemporalUnavailable(f"{workflow_id} was not reached: {error.message}") from error
        return TOOK_IT


def _phase(latest: Execution) -> str:
    """As the server has it now, not as visibility had it a moment ago."""
    if latest.status is not WorkflowExecutionStatus.RUNNING:
        return Phase.CLOSED
    return latest.typed_search_attributes.get(PHASE) or ""
