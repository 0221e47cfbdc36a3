"""SIGTERM: what runs may finish, what takes too long is left to the next worker, and every line names its rollout."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from temporalio.client import Client, WorkflowHandle

from coalmine.records import TASK_QUEUE, Done, RouteState
from tests.conftest import TemporalServer
from tests.worker.conftest import STAND_IN, Start
from tests.worker.stand_in import CONTEXT, RELEASE, StandIn

WORKFLOW = "canary/production/checkout"


async def begin(client: Client) -> WorkflowHandle[StandIn, RouteState]:
    return await client.start_workflow(
        StandIn.run, Done(), id=WORKFLOW, task_queue=TASK_QUEUE, execution_timeout=timedelta(seconds=60)
    )


async def test_a_running_activity_finishes_and_the_worker_exits_with_0(
    temporal_env: TemporalServer, temporal_client: Client, start: Start, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    variables = {**temporal_env.variables(), RELEASE: str(release), "COALMINE_DRAIN": "30s"}
    workflow = await begin(temporal_client)
    first = await start(STAND_IN, variables)
    await first.logged("working")
    first.terminate()
    await first.logged("draining")
    assert first.inner.returncode is None
    release.touch()
    assert await first.ended() == 0
    second = await start(STAND_IN, variables)
    assert (await workflow.result()).generation == 1, "one attempt was enough"
    second.terminate()
    assert await second.ended() == 0
    done = next(line for line in first.lines if line["event"] == "activity done")
    assert done["seconds"] > 0


async def test_an_activity_that_outlasts_the_drain_is_done_by_the_next_worker(
    temporal_env: TemporalServer, temporal_client: Client, start: Start, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    variables = {**temporal_env.variables(), RELEASE: str(release), "COALMINE_DRAIN": "200ms"}
    workflow = await begin(temporal_client)
    first = await start(STAND_IN, variables)
    await first.logged("working")
    first.terminate()
    assert await first.ended() == 0
    release.touch()
    await start(STAND_IN, variables)
    assert (await workflow.result()).generation == 2


async def test_every_line_of_a_rollout_names_it(
    temporal_env: TemporalServer, temporal_client: Client, start: Start, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    release.touch()
    workflow = await begin(temporal_client)
    worker = await start(STAND_IN, {**temporal_env.variables(), RELEASE: str(release)})
    await workflow.result()
    worker.terminate()
    assert await worker.ended() == 0
    named = CONTEXT.model_dump(exclude={"region"})
    about = [line for line in worker.lines if "workflow_id" in line]
    assert {"from the workflow", "working", "activity done"} <= {line["event"] for line in about}
    for line in about:
        assert {name: line[name] for name in named} == named, line
        assert line["workflow_id"] == WORKFLOW
        assert list(line)[:3] == ["timestamp", "level", "event"]
    (calm,) = [line for line in about if line["event"] == "from the workflow"]
    assert calm["mood"] == "calm"
    (working,) = [line for line in about if line["event"] == "working"]
    assert (working["activity"], working["attempt"]) == ("read_route", 1)
