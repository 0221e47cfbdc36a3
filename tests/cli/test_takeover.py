"""A worker that takes a rollout over while people send it something writes a history that any other can replay."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import WorkflowHistory, WorkflowQueryFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, WorkflowInstance, WorkflowInstanceDetails

from coalmine import fleet_client, rollout_questions
from coalmine.records import ASKED_TOO_EARLY, NEVER_COMPLETED, Phase
from coalmine.run_truth import RunTruth
from tests.cli.conftest import WORKFLOW_ID, Desk
from workflows.canary import Canary
from workflows.one_input import OneInput
from workflows.runner import HistoryBound, HistoryBoundRunner


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_questions, "CALL_WITHIN", timedelta(seconds=1.5))
    monkeypatch.setattr(fleet_client, "WITHIN", timedelta(seconds=1))


async def events(desk: Desk, met: Callable[[list[HistoryEvent]], bool]) -> list[HistoryEvent]:
    """Wait for a history."""
    async with asyncio.timeout(60):
        while True:
            history = list((await desk.client.get_workflow_handle(WORKFLOW_ID).fetch_history()).events)
            if met(history):
                return history
            await asyncio.sleep(0.05)


async def test_what_it_writes_replays(empty_desk: Desk) -> None:
    await empty_desk.serve()
    # No look comes between: the command must end the idle time after a task in which nothing was decided.
    assert (await empty_desk.type("start", empty_desk.write(policy={"look": "30s"}))).code == 0
    await empty_desk.until(lambda status: status.phase is Phase.STEPPING)
    await idle(empty_desk)
    await empty_desk.retire()
    # The command waits for the answer of its update, then makes sure by a signal: the next worker hears both at once.
    assert (await empty_desk.type("rollback", "checkout", "--no-wait")).code == 0
    await empty_desk.serve()
    await empty_desk.until(lambda status: status.phase is Phase.CLOSED)
    written = await ended(empty_desk)
    kinds = [event.event_type for event in written]
    submitted = kinds.index(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED)
    assert EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED in kinds[submitted + 1 :], (
        "the update was heard too"
    )
    await replay(written)


async def test_a_question_that_comes_before_the_next_task_changes_nothing(empty_desk: Desk) -> None:
    await empty_desk.serve()
    assert (await empty_desk.type("start", empty_desk.write(policy={"look": "5s"}))).code == 0
    await empty_desk.until(lambda status: status.phase is Phase.STEPPING)
    await left_idle(empty_desk)
    # No worker, and nothing to do for one: the question waits for a worker by itself, and will come before the task.
    question = asyncio.create_task(empty_desk.client.get_workflow_handle(WORKFLOW_ID).query("status"))
    await events(empty_desk, is_look_due)
    await empty_desk.serve()
    await asyncio.wait([question])
    assert question.exception() is None or ASKED_TOO_EARLY in str(question.exception())
    await empty_desk.until(lambda status: status.looks > 0)
    assert (await empty_desk.type("rollback", "checkout")).code == 0
    await replay(await ended(empty_desk))


async def test_a_worker_that_may_stand_on_what_another_never_completed_reads_the_history_again(
    empty_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    create = HistoryBoundRunner.create_instance

    def created(self: HistoryBoundRunner, det: WorkflowInstanceDetails) -> WorkflowInstance:
        begun.append(det.info.workflow_id)
        return create(self, det)

    monkeypatch.setattr(HistoryBoundRunner, "create_instance", created)
    await empty_desk.serve()
    assert (await empty_desk.type("start", empty_desk.write(policy={"look": "60s"}))).code == 0
    await empty_desk.until(lambda status: status.phase is Phase.STEPPING)
    await idle(empty_desk)
    await empty_desk.type("pause", "checkout")
    await idle(empty_desk)
    handle = empty_desk.client.get_workflow_handle(WORKFLOW_ID)
    with monkeypatch.context() as doubtful:
        doubtful.setattr(RunTruth, "is_completed", lambda *_: False)
        with pytest.raises(WorkflowQueryFailedError, match=NEVER_COMPLETED):
            await handle.query("status")
    # It may have been read anew before, where a question was refused because the server did not answer in time.
    before = begun.count(WORKFLOW_ID)
    await handle.signal("rollback", {"by": "ana", "reason": "test"})
    await empty_desk.until(lambda status: status.phase is Phase.CLOSED)
    assert begun.count(WORKFLOW_ID) > before
    await replay(await ended(empty_desk))


async def test_what_was_terminated_in_the_middle_of_a_task_still_tells_where_it_was(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await desk.type("start", desk.write(policy={"look": "60s"}))).code == 0
    before = await desk.until(lambda status: status.canary_weight == 10)
    began, over = threading.Event(), threading.Event()
    activate = HistoryBound.activate

    def within(self: HistoryBound, act: WorkflowActivation) -> WorkflowActivationCompletion:
        if any(job.HasField("signal_workflow") for job in act.jobs):
            began.set()
            over.wait(20)
        return activate(self, act)

    monkeypatch.setattr(HistoryBound, "activate", within)
    handle = desk.client.get_workflow_handle(WORKFLOW_ID)
    await handle.signal("rollback", {"by": "ana", "reason": "test"})
    assert await asyncio.to_thread(began.wait, 20)
    await handle.terminate(reason="by hand")
    over.set()
    assert (await desk.coalmine.status(desk.ref)).weights == before.weights


def is_idle(history: list[HistoryEvent]) -> bool:
    # The last task found nothing to do but to count itself.
    return [event.event_type for event in history[-2:]] == [
        EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED,
    ]


def is_look_due(history: list[HistoryEvent]) -> bool:
    kinds = [event.event_type for event in history]
    completed = len(kinds) - kinds[::-1].index(EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
    return EventType.EVENT_TYPE_TIMER_FIRED in kinds[completed:]


async def idle(desk: Desk) -> list[HistoryEvent]:
    """Wait until all is written and told, and the next look is awaited."""
    return await events(desk, is_idle)


async def left_idle(desk: Desk) -> None:
    """End the workers while the next look is awaited; one that began while they ended is taken by new ones."""
    async with asyncio.timeout(60):
        while True:
            await idle(desk)
            await desk.retire()
            if is_idle(await events(desk, bool)):
                return
            await desk.serve()


async def ended(desk: Desk) -> list[HistoryEvent]:
    """Wait for the last event."""
    return await events(
        desk, lambda history: history[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
    )


async def replay(written: list[HistoryEvent]) -> None:
    """As the next worker would."""
    replayer = Replayer(
        workflows=[Canary],
        data_converter=pydantic_data_converter,
        interceptors=[OneInput()],
        workflow_runner=HistoryBoundRunner(),
    )
    replayed = await replayer.replay_workflow(WorkflowHistory(WORKFLOW_ID, written), raise_on_replay_failure=False)
    assert replayed.replay_failure is None, str(replayed.replay_failure)
