"""The activity that asks an environment's fleet, and starts it where it is not there yet."""

from __future__ import annotations

from temporalio import activity
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.service import RPCError

from activities.beating import beating
from activities.failures import translate_errors
from coalmine.errors import TemporalUnavailable
from coalmine.records import ASK_FLEET, TASK_QUEUE, TASK_TIMEOUT, Done, FleetRequest, FleetState, fleet_id

ENVIRONMENT = SearchAttributeKey.for_keyword("CoalmineEnvironment")


class FleetActivities:
    """Asking the fleet, through Temporal."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=ASK_FLEET.name)
    async def ask_fleet(self, request: FleetRequest) -> Done:
        """Signal the fleet, which answers by signal. A repeated request has the same ``request_id``: asked once.

        Raises:
            ApplicationError: ``TemporalUnavailable``, to be retried.
        """
        fleet = fleet_id(request.environment)
        attributes = TypedSearchAttributes([SearchAttributePair(ENVIRONMENT, request.environment)])
        with translate_errors():
            try:
                async with beating():
                    await self._client.start_workflow(
                        "Fleet",
                        FleetState(environment=request.environment),
                        id=fleet,
                        task_queue=TASK_QUEUE,
                        task_timeout=TASK_TIMEOUT,
                        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                        start_signal=request.verb,
                        start_signal_args=[request],
                        search_attributes=attributes,
                        static_summary=f"Bans and rollout numbers of {request.environment}",
                    )
            except RPCError as error:
                raise TemporalUnavailable(f"{fleet} was not reached: {error.message}") from error
        return Done(detail=f"{request.verb} sent to {fleet}")
