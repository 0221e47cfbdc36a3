"""The activity that tells every rollout of an environment to stop, or to go back."""

from __future__ import annotations

import asyncio
import json

from temporalio import activity
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError

from activities.beating import beating
from activities.failures import translate_errors
from coalmine.connection import lacks_workflow
from coalmine.errors import TemporalUnavailable
from coalmine.records import BRAKE, EVERYWHERE, Braked, BrakeRequest, CommandInput, Phase

AT_ONCE = 10
AT_REST = frozenset({Phase.WINDOW, Phase.ROLLING_BACK, Phase.CLOSED})
"""Phases of what is in flight no more: promoted, or on its way back."""
_PHASE = SearchAttributeKey.for_keyword("CoalminePhase")


class BrakeActivities:
    """Braking, through Temporal."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=BRAKE.name)
    async def brake(self, request: BrakeRequest) -> Braked:
        """Signal every rollout in flight that was not told yet; to be told twice harms nobody.

        Visibility tells of a start some moments later: ``known`` are those that the fleet has admitted itself.

        Raises:
            ApplicationError: ``TemporalUnavailable``, to be retried.
        """
        with translate_errors():
            async with beating():
                ids = sorted({*request.known, *await self._listed(request.environment)} - {*request.told})
                few = asyncio.Semaphore(AT_ONCE)
                told = await asyncio.gather(*(self._tell(name, request, few) for name in ids))
        heard = [name for name, took in zip(ids, told, strict=True) if took]
        return Braked(told=heard, ended=sorted({*ids} - {*heard}))

    async def _listed(self, environment: str) -> list[str]:
        query = "WorkflowType = 'Canary' AND ExecutionStatus = 'Running'"
        if environment != EVERYWHERE:
            query += f" AND CoalmineEnvironment = {json.dumps(environment)}"
        try:
            found = [
                (run.id, run.typed_search_attributes.get(_PHASE)) async for run in self._client.list_workflows(query)
            ]
        except RPCError as error:
            raise TemporalUnavailable(f"the rollouts of {environment} cannot be listed: {error.message}") from error
        return [workflow_id for workflow_id, phase in found if phase not in AT_REST]

    async def _tell(self, workflow_id: str, request: BrakeRequest, few: asyncio.Semaphore) -> bool:
        word = CommandInput(by=request.by, reason=f"emergency brake: {request.reason}")
        verb = "rollback" if request.action == "roll_back" else "pause"
        try:
            async with few:
                await self._client.get_workflow_handle(workflow_id).signal(verb, word)
        except RPCError as error:
            if lacks_workflow(error):
                return False
            raise TemporalUnavailable(f"{workflow_id} was not reached: {error.message}") from error
        return True
