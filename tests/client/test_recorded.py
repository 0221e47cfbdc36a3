"""What every look found and what was shifted, read from a real history."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from coalmine.ci.summary import Past, job_summary
from coalmine.client import Coalmine
from coalmine.dashboard.watch import see
from coalmine.errors import RolloutNotFound
from coalmine.records import Outcome, Phase, Verb
from coalmine.searching import RolloutRef
from coalmine.timeline import MISSING
from tests.workflows.conftest import live, world
from tests.workflows.driving import Rollout
from tests.workflows.serving import now, workers
from tests.workflows.specs import make_submission, quick
from tests.workflows.world import World

__all__ = ["live", "world"]


async def test_looks_and_shifts_of_a_real_rollout(live: Rollout) -> None:
    spec = quick(
        service="recorded", steps=[{"weight": 10, "for": "1s"}], promotion={"bake": "1s", "rollback_window": "1s"}
    )
    await live.start(spec=spec)
    report = await live.result()
    assert report.outcome is Outcome.PROMOTED
    found = await Coalmine(live.client).recorded(RolloutRef(live.id))
    assert [look.look for look in found.looks] == list(range(1, len(found.looks) + 1))
    assert len(found.looks) == report.looks
    assert {verdict.metric for look in found.looks for verdict in look.verdicts} == {"errors"}
    assert [share for _, share in found.shares()] == [10.0, 100.0]
    assert found.snapshot == {"checkout-v1": 100.0}
    assert found.looks[0].at < found.looks[-1].at


async def _forget(client: Client, workflow_id: str, run_id: str) -> None:
    """As the end of a namespace's retention does: the run's history is gone."""
    gone = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
    request = DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=gone)
    await client.workflow_service.delete_workflow_execution(request)
    async with asyncio.timeout(60):
        while await _is_kept(client, workflow_id, run_id):
            await asyncio.sleep(0.05)


async def _is_kept(client: Client, workflow_id: str, run_id: str) -> bool:
    try:
        await client.get_workflow_handle(workflow_id, run_id=run_id).describe()
    except RPCError as error:
        return error.status is not RPCStatusCode.NOT_FOUND
    return True


async def test_what_is_left_is_told_where_temporal_has_forgotten_earlier_runs(
    forgetful_env: WorkflowEnvironment, world: World
) -> None:
    client = world.client = forgetful_env.client
    coalmine = Coalmine(client)
    async with AsyncExitStack() as stack:
        for worker in workers(client, world):
            await stack.enter_async_context(worker)
        rollout = Rollout(client, world, asyncio.sleep, now, tick=0.05)
        # At a gate with nearly all traffic on the canary: which arm is whose cannot be told from the route.
        steps = [{"weight": 60, "for": "1s"}, {"weight": 90, "for": "1s", "gate": {"approval": {"timeout": "4h"}}}]
        await rollout.start(make_submission(quick(steps=steps)))
        first = (await rollout.reach(Phase.GATED)).run_id
        async with asyncio.timeout(60):
            while (await rollout.handle.describe()).run_id == first:
                await rollout.handle.signal("extend", {"by": "ana", "for": "1m"})
        second = await rollout.until(lambda status: status.run_id != first)
        await rollout.until(lambda status: status.looks > second.looks)
        ref = RolloutRef(rollout.id)
        whole = await coalmine.recorded(ref)
        assert (whole.since, whole.missing) == (None, "")
        await _forget(client, rollout.id, first)

        left = await coalmine.recorded(ref)
        kept = [look for look in whole.looks if look.look >= left.looks[0].look]
        assert kept
        assert left.looks[: len(kept)] == kept
        assert left.looks[0].look > whole.looks[0].look
        # The state that was carried knows what the traffic was, and what it was before all.
        assert left.snapshot == whole.snapshot == {"checkout-v1": 100.0}
        assert [share for _, share in left.shares()] == [60.0]
        assert left.since == left.shifts[0].at
        assert "nothing is known from before 20" in left.missing

        status = await coalmine.status(ref)
        summary = job_summary(status, Past(left.shares(), missing=left.missing), None, datetime.now(UTC))
        assert "    60 % :" in summary
        assert "\nNothing is known from before 20" in summary

        seen = await see(coalmine, ref)
        assert (seen.past.shares(), seen.past_trouble) == (left.shares(), left.missing)

        told = await coalmine.history(ref)
        assert (told[0].kind, told[0].text, told[1].kind) == ("missing", MISSING, "continued")
        with pytest.raises(RolloutNotFound):
            await coalmine.recorded(RolloutRef(rollout.id, first))
        await coalmine.send(ref, Verb.ROLLBACK, by="ana")
        await rollout.result()
