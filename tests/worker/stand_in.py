"""A stand-in for the canary workflow, and an activity that takes as long as a test wants."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from coalmine.records import READ_ROUTE, Done, RolloutContext, RouteRequest, RouteState
    from coalmine.spec.canary import Route

RELEASE = "STAND_IN_RELEASE"
"""Environment variable with the file whose coming into being ends the activity."""
CONTEXT = RolloutContext(
    rollout_id="production/checkout/1.42.0/1",
    service="checkout",
    environment="production",
    version="1.42.0",
    step=2,
    look=7,
)


@workflow.defn(name="Canary")
class StandIn:
    """Reads a route once, and logs."""

    @workflow.run
    async def run(self, _: Done) -> RouteState:
        workflow.logger.info("from the workflow", extra={"mood": "calm"})
        state: RouteState = await workflow.execute_activity(
            READ_ROUTE.name,
            RouteRequest(route=Route(router="envoy", name="shop"), context=CONTEXT),
            result_type=READ_ROUTE.output,
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=1)
            ),
        )
        return state

    def log_fields(self) -> RolloutContext:
        """What every line of this workflow says of its rollout."""
        return CONTEXT


@activity.defn(name=READ_ROUTE.name)
async def slow_read(request: RouteRequest) -> RouteState:
    """Ends when the file is there; the generation it returns is its attempt."""
    activity.logger.info("working")
    while not os.path.exists(os.environ[RELEASE]):  # noqa: ASYNC240
        await asyncio.sleep(0.05)
    return RouteState(weights={}, generation=activity.info().attempt)
