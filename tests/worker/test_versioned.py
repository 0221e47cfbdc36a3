"""Worker versioning: with a deployment and a build named, rollouts stay on the build they began on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from temporalio.api.enums.v1 import VersioningBehavior
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.service import RPCError

from coalmine.records import TASK_QUEUE, Done
from tests.conftest import TemporalServer
from tests.worker.conftest import STAND_IN, Start
from tests.worker.stand_in import RELEASE, StandIn


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
