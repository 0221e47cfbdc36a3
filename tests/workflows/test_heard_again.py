"""A run that a reset made hears again what was said before, and every worker that replays it decides the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowUpdateFailedError

from coalmine.errors import TemporalUnavailable
from coalmine.identity.claims import Decided
from coalmine.identity.signing import sign
from coalmine.records import Outcome, Phase
from coalmine.starting import start
from tests.conftest import TemporalServer
from tests.workflows.driving import Rollout
from tests.workflows.serving import now, workers
from tests.workflows.specs import make_submission, quick
from tests.workflows.test_dev_server import temporal
from tests.workflows.test_wrong_openings import KEYS, keys
from tests.workflows.world import World, leave
from workflows.runner import HistoryBoundRunner

__all__ = ["keys"]

SPEC = quick(
    steps=[
        {"weight": 10, "for": "1s"},
        {"weight": 50, "for": "1s", "gate": {"name": "go", "approval": {"timeout": "10h", "count": 5}}},
    ]
)


@pytest.fixture
async def forgetful(temporal_client: Client, world: World) -> AsyncIterator[Rollout]:
    """A worker that reads the history from its beginning at every task, as the next one does after a restart."""
    world.client = temporal_client
    async with AsyncExitStack() as stack:
        for worker in workers(temporal_client, world, max_cached_workflows=0, workflow_runner=HistoryBoundRunner()):
            await stack.enter_async_context(worker)
        # Each look at the status reads the history from its beginning, too: fewer of them.
        yield Rollout(temporal_client, world, asyncio.sleep, now, tick=0.3)


async def _run_id(rollout: Rollout) -> str:
    return str((await rollout.handle.describe()).run_id)


async def _reset(rollout: Rollout, server: TemporalServer, run_id: str, task: int, *arguments: str) -> None:
    leave(rollout.world, SPEC, 10)
    words = ["workflow", "reset", "-w", rollout.id, "-r", run_id, "--event-id", str(task), "--reason", "test"]
    await temporal(server, *words, *arguments)
    await rollout.happens(lambda: rollout.world.recalls > 0)


async def _answers(rollout: Rollout) -> list[str]:
    """Updates of the latest run that were taken, and how each was answered, as the history says."""
    history = await rollout.handle.fetch_history()
    taken = {
        event.event_id: event.workflow_execution_update_accepted_event_attributes.accepted_request.input.name
        for event in history.events
        if event.HasField("workflow_execution_update_accepted_event_attributes")
    }
    ends = [event.workflow_execution_update_completed_event_attributes for event in history.events]
    return [
        f"{taken[end.accepted_event_id]}: {end.outcome.failure.application_failure_info.type or 'done'}"
        for end in ends
        if end.accepted_event_id in taken
    ]


async def _ends_by_a_word(rollout: Rollout) -> None:
    """It hears ``rollback``, and no task of it ever failed."""
    if (await rollout.handle.describe()).status is WorkflowExecutionStatus.RUNNING:
        await rollout.handle.signal("rollback", {"by": "ana", "reason": "enough"})
    report = await rollout.result(step=0.5)
    assert report.outcome is Outcome.ROLLED_BACK, report.reason
    assert rollout.world.canary == 0
    # The first to fail is the one that the server puts there for the reset.
    assert len(await rollout.failed_tasks()) <= 1, "what the run of the reset decided cannot be replayed"


@pytest.mark.parametrize("said", ["", "approve", "rollback", "pause"])
async def test_started_by_the_command_and_reset_to_its_first_task(
    forgetful: Rollout, temporal_env: TemporalServer, said: str
) -> None:
    await forgetful.submit(make_submission(SPEC))
    await forgetful.reach(Phase.GATED)
    run_id = await _run_id(forgetful)
    first = (await forgetful.tasks(run_id))[0]
    if said:
        await forgetful.send(said)
    await _reset(forgetful, temporal_env, run_id, first)
    await _ends_by_a_word(forgetful)


async def test_started_by_the_command_it_knows_its_release_where_nothing_is_heard_again(
    forgetful: Rollout, temporal_env: TemporalServer
) -> None:
    # The product's own start: it has to put the submission into the input too, for its update is not heard again.
    await start(forgetful.client, make_submission(SPEC), timedelta(seconds=60))
    await forgetful.reach(Phase.GATED)
    run_id = await _run_id(forgetful)
    first = (await forgetful.tasks(run_id))[0]
    await _reset(forgetful, temporal_env, run_id, first, "--reapply-exclude", "All")
    await _ends_by_a_word(forgetful)


@pytest.mark.parametrize("ways", ["u", "us", "su"])
async def test_approvals_by_update_and_by_signal_are_heard_again_at_the_gate(
    forgetful: Rollout, temporal_env: TemporalServer, ways: str
) -> None:
    await forgetful.start(make_submission(SPEC))
    await forgetful.reach(Phase.GATED)
    run_id = await _run_id(forgetful)
    gate = (await forgetful.tasks(run_id))[-1]
    for number, way in enumerate(ways):
        given = {"by": f"person {number}", "reason": "fine"}
        if way == "u":
            await forgetful.handle.execute_update("approve", given)
        else:
            await forgetful.handle.signal("approve", given)
        await forgetful.happens(lambda number=number: forgetful.world.kinds().count("command") > number)  # type: ignore[misc]
    await _reset(forgetful, temporal_env, run_id, gate)
    await _ends_by_a_word(forgetful)


async def test_an_approval_that_meets_no_gate_yet_is_refused_in_the_record(
    forgetful: Rollout, temporal_env: TemporalServer
) -> None:
    """By an update's validator it would leave no event: it would wake the workflow now, and never at a replay."""
    await forgetful.start(make_submission(SPEC))
    await forgetful.until(lambda status: status.looks > 0)
    run_id = await _run_id(forgetful)
    step = (await forgetful.tasks(run_id))[-1]
    await forgetful.reach(Phase.GATED)
    await forgetful.handle.execute_update("approve", {"by": "bo", "reason": "fine", "gate": "go", "attempt": 1})
    await _reset(forgetful, temporal_env, run_id, step)
    await _ends_by_a_word(forgetful)


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("approve", {"by": "bo", "reason": "fine", "gate": "none", "attempt": 1}, "there is no gate 'none'"),
        (
            "submit",
            make_submission(quick(service="basket")).model_dump(mode="json"),
            "this workflow belongs to checkout",
        ),
        ("withdraw", {"version": "9.9.9", "by": "bo"}, "9.9.9 does not wait"),
    ],
)
async def test_after_a_reset_the_handler_refuses_and_no_validator(
    forgetful: Rollout, temporal_env: TemporalServer, name: str, given: dict[str, Any], why: str
) -> None:
    """A refusal without an event would wake the workflow now, and never at a replay: here each is in the history."""
    await forgetful.start(make_submission(SPEC))
    await forgetful.reach(Phase.GATED)
    run_id = await _run_id(forgetful)
    assert why in await _refusal(forgetful, name, given)
    assert await _answers(forgetful) == []
    await _reset(forgetful, temporal_env, run_id, (await forgetful.tasks(run_id))[-1], "--reapply-exclude", "All")
    await forgetful.reach(Phase.GATED)
    assert why in await _refusal(forgetful, name, given)
    assert await _answers(forgetful) == [f"{name}: Refused"]
    await _ends_by_a_word(forgetful)


async def _refusal(rollout: Rollout, name: str, given: dict[str, Any]) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as failure:
        await rollout.handle.execute_update(name, given)
    return str(failure.value.cause)


@pytest.mark.parametrize("learnt", [True, False])
async def test_what_was_signed_before_the_second_of_two_resets_is_signed_again(
    live: Rollout, world: World, temporal_env: TemporalServer, keys: None, learnt: bool
) -> None:
    """It is heard again before the run that the second one made has learnt that it is another reset.

    The first one's run may not have ``learnt`` whose the route is either: its question is copied without the answer.
    """
    gate = {"name": "go", "approval": {"by": ["sre"], "timeout": "10h", "count": 2, "verified": True}}
    spec = quick(
        steps=[{"weight": 10, "for": "1s"}, {"weight": 50, "for": "1s", "gate": gate}], people={"sre": ["ana", "bo"]}
    )
    await live.start(make_submission(spec, by="somebody"))
    await live.reach(Phase.GATED)
    run_id = await _run_id(live)
    world.recall_gate = None if learnt else asyncio.Event()
    await _reset(live, temporal_env, run_id, (await live.tasks(run_id))[-1])
    run_id = await _run_id(live)
    before = len(await live.tasks(run_id))
    # With a look since then that was told.
    while len(await live.tasks(run_id)) < before + 3:
        await asyncio.sleep(0.1)
    task = (await live.tasks(run_id))[-1]
    decided = Decided("approve", (await live.status()).rollout_id, "ok", gate="go", attempt=1)
    # From a second later on, for whole seconds are told in a token.
    signed_at = await live.now() + timedelta(seconds=1)
    signed = sign(KEYS["ana"], decided, signed_at, "ana-1")
    await live.handle.signal("approve", {"by": "ana", "reason": "ok", "gate": "go", "attempt": 1, "token": signed})
    await live.happens(lambda: "command" in world.kinds())
    while await live.now() <= signed_at + timedelta(seconds=1):
        await asyncio.sleep(0.1)
    world.recalls = 0
    await _reset(live, temporal_env, run_id, task)
    status = await live.until(lambda status: bool(status.refused))
    assert status.gate is not None
    assert status.gate.approvals == []
    [refused] = status.refused
    assert "before the reset" in refused.reason
    if world.recall_gate is not None:
        world.recall_gate.set()


async def test_a_start_whose_rollout_is_terminated_before_it_is_admitted_was_not_refused(
    forgetful: Rollout,
) -> None:
    forgetful.world.hook_gate = asyncio.Event()
    given = make_submission(quick(hooks={"prepare": "http://127.0.0.1:1/prepare"}))
    asked = asyncio.create_task(start(forgetful.client, given, timedelta(seconds=60)))
    await forgetful.happens(lambda: bool(forgetful.world.hooks))
    await forgetful.handle.terminate("for the test")
    with pytest.raises(TemporalUnavailable, match="closed without an answer, or was reset; look at it"):
        await asked
