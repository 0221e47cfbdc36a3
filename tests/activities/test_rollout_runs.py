"""What a run's history says of its route, and what of one that this build cannot read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.rollout_runs import RolloutRuns
from coalmine.errors import HistoryUnreadable
from coalmine.ownership import Run
from tests.workflows.world import make_submission

RUN = Run(workflow_id="canary/test/checkout", run_id="r", open=False, started_at=datetime(2026, 1, 1, tzinfo=UTC))
GOOD = {
    "service": "checkout",
    "environment": "test",
    "submission": make_submission().model_dump(mode="json", by_alias=True),
}


class OneHistory:
    """As much of a client as reads one history."""

    namespace = "default"
    data_converter = pydantic_data_converter

    def __init__(self, *events: HistoryEvent) -> None:
        self._events = events

    def get_workflow_handle(self, workflow_id: str, run_id: str) -> OneHistory:
        return self

    async def fetch_history_events(self, **options: Any) -> AsyncIterator[HistoryEvent]:
        for event in self._events:
            yield event


def began(given: Any) -> HistoryEvent:
    event = HistoryEvent(event_id=1, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
    payload = event.workflow_execution_started_event_attributes.input.payloads.add()
    payload.metadata["encoding"], payload.data = b"json/plain", json.dumps(given).encode()
    return event


def scheduled(name: str, given: Any) -> HistoryEvent:
    event = HistoryEvent(event_id=7, event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    attributes = event.activity_task_scheduled_event_attributes
    attributes.activity_type.name = name
    payload = attributes.input.payloads.add()
    payload.metadata["encoding"], payload.data = b"json/plain", json.dumps(given).encode()
    return event


async def facts(*events: HistoryEvent) -> Any:
    return await RolloutRuns(OneHistory(*events)).facts(RUN)  # type: ignore[arg-type]


async def test_what_was_started_with_nonsense_and_never_wrote_says_nothing() -> None:
    assert await facts(began({"odd": 1})) is None
    assert await facts(began("nonsense")) is None


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([began({"odd": 1}), scheduled("shift", {"weights": {}})], "its input cannot be read (ValidationError"),
        ([began(GOOD), scheduled("shift", {"odd": 1})], "event 7 cannot be read (ValidationError"),
        ([began(GOOD), scheduled("write_ledger", {**GOOD, "entries": []})], "event 7 cannot be read ("),
    ],
)
async def test_what_wrote_and_cannot_be_read_is_named(events: list[HistoryEvent], said: str) -> None:
    with pytest.raises(HistoryUnreadable) as refused:
        await facts(*events)
    assert f"history of canary/test/checkout (run r): {said}" in str(refused.value)
    assert "look with the build that wrote it" in str(refused.value)
