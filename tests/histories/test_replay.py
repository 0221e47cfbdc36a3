"""Every recorded history of every released version replays on today's code."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Interceptor, Replayer

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


async def _replays(name: str, interceptors: list[Interceptor]) -> None:
    history = WorkflowHistory.from_json("canary/test/checkout", HISTORIES[name])
    replayer = Replayer(
        workflows=[Canary, Fleet, TrafficGuard],
        data_converter=pydantic_data_converter,
        interceptors=interceptors,
        workflow_runner=HistoryBoundRunner(),
    )
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    assert result.replay_failure is None, "a change of workflow code broke running rollouts: use workflow.patched"
