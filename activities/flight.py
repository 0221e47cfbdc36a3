"""The activity that looks which rollouts still run, so that a dead one keeps no slot."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from activities.beating import beating
from activities.failures import translate_errors
from coalmine.connection import lacks_workflow
from coalmine.errors import TemporalUnavailable
from coalmine.executions import describe
from coalmine.records import CHECK_FLIGHT, FlightCheck, FlightFound

AT_ONCE = 10
"""Questions to the server at the same time."""
ANSWER_WITHIN = timedelta(seconds=10)
"""One that is not answered by then is retried with all others."""


class FlightActivities:
    """Asking Temporal which workflows run."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=CHECK_FLIGHT.name)
    async def check_flight(self, request: FlightCheck) -> FlightFound:
        """Those whose latest run is closed, or that are unknown. What cannot be told is taken to run.

        Raises:
            ApplicationError: ``TemporalUnavailable``, to be retried.
        """
        with translate_errors():
            async with beating():
                few = asyncio.Semaphore(AT_ONCE)
                running = await asyncio.gather(*(self._runs(name, few) for name in request.workflow_ids))
        return FlightFound(gone=[name for name, runs in zip(request.workflow_ids, running, strict=True) if not runs])

    async def _runs(self, workflow_id: str, few: asyncio.Semaphore) -> bool:
        try:
            async with few:
                latest = await describe(self._client, workflow_id, None, ANSWER_WITHIN)
        except RPCError as error:
            if lacks_workflow(error):
                return False
            raise TemporalUnavailable(f"{workflow_id} could not be looked at: {error.message}") from error
        return latest.status in (None, WorkflowExecutionStatus.RUNNING)
