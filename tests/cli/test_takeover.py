"""A worker that takes a rollout over while people send it something writes a history that any other can replay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from coalmine import client as client_module
from coalmine import fleet_client
from coalmine.records import Phase
from tests.cli.conftest import WORKFLOW_ID, Desk
from workflows.canary import Canary
from workflows.messages import OneInput


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CALL_WITHIN", timedelta(seconds=1.5))
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
    await events(empty_desk, lambda history: history[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
    await empty_desk.retire()
    # The command waits for the answer of its update, then makes sure by a signal: the next worker hears both at once.
    assert (await empty_desk.type("rollback", "checkout", "--no-wait")).code == 0
    await empty_desk.serve()
    await empty_desk.until(lambda status: status.phase is Phase.CLOSED)
    written = await events(
        empty_desk, lambda history: history[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
    )
    kinds = [event.event_type for event in written]
    submitted = kinds.index(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED)
    assert EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED in kinds[submitted + 1 :], (
        "the update was heard too"
    )
    replayer = Replayer(workflows=[Canary], data_converter=pydantic_data_converter, interceptors=[OneInput()])
    replayed = await replayer.replay_workflow(WorkflowHistory(WORKFLOW_ID, written), raise_on_replay_failure=False)
    assert replayed.replay_failure is None, str(replayed.replay_failure)
