"""Every recorded history of every released version replays on today's code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Interceptor, Replayer, WorkflowInstance, WorkflowInstanceDetails

from coalmine.telemetry.interceptor import RolloutTracing
from workflows.canary import Canary
from workflows.fleet import Fleet
from workflows.guard import TrafficGuard
from workflows.one_input import OneInput
from workflows.runner import HistoryBoundRunner

HISTORIES = {
    f"{path.parent.name}/{path.stem}": path.read_text(encoding="utf-8")
    for path in sorted(Path(__file__).parent.glob("*/*.json"))
}
ONE_OF_EACH = sorted({name.split("/")[0]: name for name in HISTORIES}.values())
"""The last of each folder."""


def test_there_are_histories() -> None:
    names = {name.split("/")[1] for name in HISTORIES}
    assert names >= {"promoted", "rolled_back_by_harm", "held_and_resumed", "cancelled", "data_outage"}


@pytest.mark.parametrize("name", HISTORIES)
async def test_it_replays(name: str) -> None:
    await _replays(name, [OneInput()])


@pytest.mark.parametrize("name", ONE_OF_EACH)
async def test_it_replays_at_a_worker_that_traces(name: str) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    await _replays(name, [RolloutTracing(tracer), OneInput()])


@dataclass(frozen=True)
class AfterReset(HistoryBoundRunner):
    """Tells a run that a reset made its own id: the SDK's replayer takes that of the first run for it."""

    run_id: str = ""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """As whoever serves it."""
        return super().create_instance(replace(det, info=replace(det.info, run_id=self.run_id)))


def _runner(history: WorkflowHistory) -> HistoryBoundRunner:
    resets = [event.workflow_task_failed_event_attributes.new_run_id for event in history.events]
    made = [run_id for run_id in resets if run_id]
    return AfterReset(run_id=made[-1]) if made else HistoryBoundRunner()


def test_a_reset_that_heard_updates_again_is_among_them() -> None:
    heard = {
        event.workflow_execution_update_admitted_event_attributes.request.input.name
        for text in HISTORIES.values()
        if "UpdateAdmitted" in text or "UPDATE_ADMITTED" in text
        for event in WorkflowHistory.from_json("canary/test/checkout", text).events
    }
    assert heard >= {"submit", "approve"}


async def _replays(name: str, interceptors: list[Interceptor]) -> None:
    history = WorkflowHistory.from_json("canary/test/checkout", HISTORIES[name])
    replayer = Replayer(
        workflows=[Canary, Fleet, TrafficGuard],
        data_converter=pydantic_data_converter,
        interceptors=interceptors,
        workflow_runner=_runner(history),
    )
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    assert result.replay_failure is None, "a change of workflow code broke running rollouts: use workflow.patched"
