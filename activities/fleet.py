"""The activity that asks an environment's fleet, and starts it where it is not there yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.service import RPCError

from activities.beating import beating
from activities.failures import translate_errors
from coalmine.errors import RefusedError, RolloutNotFound, TemporalUnavailable
from coalmine.freezing import covering
from coalmine.questions import ask
from coalmine.records import (
    ASK_FLEET,
    EVERYWHERE,
    TASK_QUEUE,
    TASK_TIMEOUT,
    Done,
    FleetRequest,
    FleetState,
    Freeze,
    Frozen,
    fleet_id,
)
from coalmine.search_attributes import ENVIRONMENT

_ASK = timedelta(seconds=5)


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
                    if request.verb == "admit":
                        frozen = await self._frozen_everywhere(request.service)
                        request = request.model_copy(update={"frozen": frozen})
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

    async def _frozen_everywhere(self, service: str) -> Freeze | None:
        """The freeze of all environments: whoever carries a request asks for it, the fleet of one knows of no other."""
        keeper = self._client.get_workflow_handle(fleet_id(EVERYWHERE))
        try:
            found = await ask(self._client, keeper, "freezes", Frozen, _ASK)
        except RolloutNotFound:
            return None
        except RefusedError as error:
            raise TemporalUnavailable(f"{keeper.id} does not say whether all is frozen: {error}") from error
        return covering(found.freezes, service, datetime.now(UTC))
