"""A retry in CI while the rollout before is over, but hands its record over still."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from coalmine import starting
from coalmine.cli import main
from coalmine.client import START_WITHIN
from coalmine.errors import TemporalUnavailable
from coalmine.executions import Execution, describe
from coalmine.preflight import create_missing
from coalmine.records import TASK_QUEUE, CanaryInput, Outcome, Phase, Submission, canary_id
from coalmine.search_attributes import PHASE, VERSION
from tests.conftest import TemporalServer
from tests.workflows.conftest import live, world
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_submission, quick
from tests.workflows.test_admission import next_version
from tests.workflows.world import World

__all__ = ["live", "world"]

SHORT = {"bake": "0s", "rollback_window": "1s"}


async def closing(live: Rollout, world: World, service: str) -> Any:
    """The submission of a rollout that was promoted, and cannot hand its record over."""
    submission = make_submission(quick(service=service, promotion=SHORT))
    await live.start(submission)
    await live.reach(Phase.WINDOW)
    world.ledger_down = True
    status = await live.reach(Phase.CLOSED)
    assert status.outcome is Outcome.PROMOTED
    return submission


async def test_it_hears_of_the_promotion(live: Rollout, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    submission = await closing(live, world, "closing")
    seen = asyncio.Event()

    async def looked_at(*given: Any) -> Execution:
        try:
            return await describe(*given)
        finally:
            seen.set()

    monkeypatch.setattr(starting, "describe", looked_at)
    again = asyncio.create_task(starting.start(live.client, submission, START_WITHIN))
    await seen.wait()
    world.ledger_down = False
    receipt = await again
    assert (receipt.disposition, receipt.rollout_id) == ("promoted", "test/closing/1.1.0/1")


async def test_another_version_does_not_wait_for_it(live: Rollout, world: World) -> None:
    await closing(live, world, "closing-other")
    other = make_submission(quick(service="closing-other", arms=next_version(), promotion=SHORT))
    receipt = await starting.start(live.client, other, START_WITHIN)
    assert receipt.disposition == "rejected"
    assert receipt.reason == "the rollout before has just promoted and is closing: try again in a moment"
    world.ledger_down = False


async def orphaned(server: TemporalServer, submission: Submission) -> Client:
    """A rollout of the same version that hands its record over, and no worker far and wide to do so."""
    client = await server.connect()
    await create_missing(client)
    spec = submission.spec
    await client.start_workflow(
        "Canary",
        CanaryInput(service=spec.service, environment=spec.environment, region=spec.region, submission=submission),
        id=canary_id(spec.environment, spec.service, spec.region),
        task_queue=TASK_QUEUE,
        search_attributes=TypedSearchAttributes(
            [SearchAttributePair(PHASE, str(Phase.CLOSED)), SearchAttributePair(VERSION, spec.arms.canary.version)]
        ),
    )
    return client


async def test_without_a_worker_it_waits_no_longer_than_it_may(
    bare_temporal: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call to the server that times out is made again, for ever: the wait as a whole has an end."""
    submission = make_submission(quick(service="orphan"))
    client = await orphaned(bare_temporal, submission)
    monkeypatch.setattr(starting, "_CALL", timedelta(seconds=0.3))
    async with asyncio.timeout(20):
        with pytest.raises(
            TemporalUnavailable, match=r"^orphan cannot start: .*\(waited 0\.5 s; nothing was started\)"
        ):
            await starting.start(client, submission, timedelta(seconds=0.5))
    left = await client.get_workflow_handle("canary/test/orphan").describe()
    assert left.status is WorkflowExecutionStatus.RUNNING, "it is another's, and a worker may come"


async def test_the_command_says_which_worker_lacks(
    bare_temporal: TemporalServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    submission = make_submission(quick(service="orphan-cli"))
    await orphaned(bare_temporal, submission)
    (tmp_path / "spec.yaml").write_text(submission.spec.model_dump_json(by_alias=True, exclude_unset=True))
    for name, value in bare_temporal.variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(starting, "_CALL", timedelta(seconds=0.3))
    words = ["start", str(tmp_path / "spec.yaml"), "--start-within", "1s"]
    async with asyncio.timeout(20):
        assert await asyncio.to_thread(main, words) == 1
    said = capsys.readouterr().err
    assert "orphan-cli cannot start: no worker polls task queue 'coalmine': start one with: coalmine worker" in said
    assert "(waited 1 s; nothing was started)" in said
