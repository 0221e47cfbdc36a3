"""Worker versioning: with a deployment and a build named, rollouts stay on the build they began on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from temporalio.api.enums.v1 import VersioningBehavior
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.service import RPCError

from coalmine.client import Coalmine, RolloutRef
from coalmine.preflight import create_missing
from coalmine.records import TASK_QUEUE, Done, Outcome, Phase, RolloutStatus, Verb
from tests.conftest import TemporalServer
from tests.worker.conftest import ROOT, STAND_IN, Start
from tests.worker.stand_in import RELEASE, StandIn
from tests.workflows.specs import make_spec

SCRIPTED = "tests/worker/scripted_process.py"
GATED = {
    "steps": [{"weight": 10, "for": "1s"}, {"weight": 50, "for": "1s", "gate": {"approval": {}}}],
    "policy": {"look": "1s"},
    "promotion": {"bake": "1s", "rollback_window": "1s"},
}


async def make_current(client: Client, name: str, build: str) -> None:
    """Send new workflows to this build, once the server has heard of it."""
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace, deployment_name=name, build_id=build, identity="test"
    )
    async with asyncio.timeout(60):
        while True:
            try:
                await client.workflow_service.set_worker_deployment_current_version(request)
            except RPCError:
                await asyncio.sleep(0.2)
            else:
                return


async def test_a_rollout_is_pinned_to_its_build(bare_temporal: TemporalServer, start: Start, tmp_path: Path) -> None:
    release = tmp_path / "release"
    client = await bare_temporal.connect()
    variables = {**bare_temporal.variables(), RELEASE: str(release), "TEMPORAL_DEPLOYMENT_NAME": "shop"}
    await start(STAND_IN, {**variables, "TEMPORAL_WORKER_BUILD_ID": "1"})
    await make_current(client, "shop", "1")
    workflow = await client.start_workflow(
        StandIn.run, Done(), id="canary/x/y", task_queue=TASK_QUEUE, execution_timeout=timedelta(minutes=2)
    )
    await start(STAND_IN, {**variables, "TEMPORAL_WORKER_BUILD_ID": "2"})
    await make_current(client, "shop", "2")
    release.touch()
    await workflow.result()
    info = (await workflow.describe()).raw_description.workflow_execution_info.versioning_info
    assert info.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_PINNED
    assert info.deployment_version.build_id == "1"


async def builds_of(client: Client, workflow_id: str) -> set[str]:
    """The builds that completed a rollout's tasks, as its history has them."""
    builds: set[str] = set()
    async for event in client.get_workflow_handle(workflow_id).fetch_history_events():
        if event.HasField("workflow_task_completed_event_attributes"):
            builds.add(event.workflow_task_completed_event_attributes.deployment_version.build_id)
    return builds


async def begin(coalmine: Coalmine, service: str) -> RolloutRef:
    """Start a rollout, up to its gate."""
    spec = make_spec(service=service, **GATED)
    ref = RolloutRef((await coalmine.start(spec, by="ana")).workflow_id)
    async for status in coalmine.follow(ref, every=0.1):
        if isinstance(status, RolloutStatus) and status.phase is Phase.GATED:
            break
    return ref


async def test_an_old_rollout_ends_on_the_old_build_while_the_new_one_serves(
    bare_temporal: TemporalServer, start: Start
) -> None:
    client = await bare_temporal.connect()
    await create_missing(client)
    coalmine = Coalmine(client)
    variables = {**bare_temporal.variables(), "TEMPORAL_DEPLOYMENT_NAME": "shop", "PYTHONPATH": str(ROOT)}
    old_build = await start(SCRIPTED, {**variables, "TEMPORAL_WORKER_BUILD_ID": "1"})
    await make_current(client, "shop", "1")
    old = await begin(coalmine, "old")
    await start(SCRIPTED, {**variables, "TEMPORAL_WORKER_BUILD_ID": "2"})
    await make_current(client, "shop", "2")
    new = await begin(coalmine, "new")
    for ref in (new, old):
        await coalmine.send(ref, Verb.APPROVE, by="bo")
        await client.get_workflow_handle(ref.workflow_id).result()
        report = await coalmine.report(ref)
        assert report is not None
        assert report.outcome is Outcome.PROMOTED
    assert (await builds_of(client, old.workflow_id), await builds_of(client, new.workflow_id)) == ({"1"}, {"2"})
    old_build.terminate()
    assert await old_build.ended() == 0
