"""A workflow that somebody paused in Temporal itself, on a real server: a status the SDK does not know."""

from __future__ import annotations

import asyncio

import pytest
from temporalio import workflow
from temporalio.api.workflowservice.v1 import PauseWorkflowExecutionRequest, UnpauseWorkflowExecutionRequest
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from activities.brake import BrakeActivities
    from activities.flight import FlightActivities
    from activities.rollout_runs import RolloutRuns
    from coalmine.cli._fleet_page import stands as in_a_line
    from coalmine.client import Coalmine, RolloutRef
    from coalmine.dashboard.fleet_page import stands
    from coalmine.errors import TemporalUnavailable
    from coalmine.records import (
        BrakeRequest,
        CommandInput,
        CommandReceipt,
        FlightCheck,
        Phase,
        RolloutStatus,
        Verb,
    )
    from coalmine.run_truth import RunTruth
    from coalmine.ui_views import views
    from tests.conftest import TemporalServer

ID = "canary/pausing/checkout"
WITHIN = 60.0
GATED = TypedSearchAttributes(
    [
        SearchAttributePair(SearchAttributeKey.for_keyword("CoalminePhase"), str(Phase.GATED)),
        SearchAttributePair(SearchAttributeKey.for_keyword("CoalmineEnvironment"), "pausing"),
    ]
)


@workflow.defn(name="Canary")
class Stepping:
    """As much of a rollout as is asked and told here."""

    def __init__(self) -> None:
        self._rolled_back_by = ""

    @workflow.run
    async def run(self) -> str:
        """Wait for the rollback."""
        await workflow.wait_condition(lambda: bool(self._rolled_back_by))
        return self._rolled_back_by

    @workflow.query
    def status(self) -> RolloutStatus:
        """Where it stands."""
        return RolloutStatus(phase=Phase.STEPPING, service="checkout", environment="pausing", workflow_id=ID)

    @workflow.signal
    def rollback(self, word: CommandInput) -> None:
        """Go back."""
        self._rolled_back_by = word.by

    @workflow.update
    def approve(self, word: CommandInput) -> CommandReceipt:
        """Say yes."""
        return CommandReceipt(message=f"approved by {word.by}", phase=Phase.STEPPING)


async def test_it_is_said_to_be_paused_and_counts_as_running(pausing_temporal: TemporalServer) -> None:
    client = await pausing_temporal.connect()
    coalmine, ref = Coalmine(client), RolloutRef(ID)
    mend = f"temporal workflow unpause --namespace {client.namespace} --workflow-id {ID}"
    async with Worker(client, task_queue="pausing", workflows=[Stepping]):
        handle = await client.start_workflow("Canary", id=ID, task_queue="pausing", search_attributes=GATED)
        assert (await coalmine.status(ref)).phase is Phase.STEPPING
        await client.workflow_service.pause_workflow_execution(
            PauseWorkflowExecutionRequest(
                namespace=client.namespace, workflow_id=ID, identity="ana", reason="a look", request_id="once"
            )
        )
        for asking in (coalmine.status(ref), coalmine.decisions(ref), coalmine.send(ref, Verb.APPROVE, by="ana")):
            with pytest.raises(TemporalUnavailable, match="paused in Temporal") as refused:
                await asking
            assert str(refused.value).endswith(mend)
        with pytest.raises(TemporalUnavailable, match=r"by ana \(a look\)"):
            await coalmine.status(ref)
        assert await coalmine.report(ref) is None
        assert await coalmine.find(ID) == ref
        assert isinstance(await anext(coalmine.follow(ref)), TemporalUnavailable)

        # Nobody takes it for one that is over: its place in the fleet and its route stay its own.
        assert not await asyncio.to_thread(RunTruth(client).is_closed, ID, handle.result_run_id or "")
        flight = FlightActivities(client).check_flight
        found = await ActivityEnvironment().run(
            flight, FlightCheck(environment="pausing", workflow_ids=[ID, "canary/pausing/gone"])
        )
        assert found.gone == ["canary/pausing/gone"]
        assert await RolloutRuns(client).is_live(ID)
        async with asyncio.timeout(WITHIN):
            while not any(row.paused_in_temporal for row in await coalmine.rollouts(running=True)):
                await asyncio.sleep(0.05)
        (row,) = await coalmine.rollouts(running=True)
        assert await coalmine.rollouts(running=False) == []
        assert (row.open, row.workflow_id) == (True, ID)
        # Nor does it leave the lists of people who know the Temporal UI only.
        for view in views("pausing"):
            counted = await client.count_workflows(view.query)
            assert counted.count == (view.name in ("Waiting for a human", "In flight")), view.name
        assert stands(row).startswith("paused in Temporal")
        assert in_a_line(row).startswith("paused in Temporal")
        runs, _ = await RolloutRuns(client).listed(None)
        assert [(run.workflow_id, run.open) for run in runs] == [(ID, True)]
        braking = BrakeRequest(environment="*", action="hold", by="ana", reason="all stop")
        braked = await ActivityEnvironment().run(BrakeActivities(client).brake, braking)
        assert braked.told == []
        assert mend in braked.refused[ID]

        # A rollback is never lost: it is kept, and carried out when the workflow goes on.
        receipt = await coalmine.send(ref, Verb.ROLLBACK, by="ben")
        assert "recorded" in receipt.message
        assert mend in receipt.message
        await client.workflow_service.unpause_workflow_execution(
            UnpauseWorkflowExecutionRequest(
                namespace=client.namespace, workflow_id=ID, identity="ana", request_id="twice"
            )
        )
        async with asyncio.timeout(WITHIN):
            assert await handle.result() == "ben"
