"""What the histories of a rollout say, as the examiner reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

from tests.faults.examine import Told, cancels


def shows(**attributes: str | None) -> HistoryEvent:
    event = HistoryEvent(event_type=EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
    fields = event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
    for name, value in attributes.items():
        fields[name].CopyFrom(Payload(data=b"" if value is None else json.dumps(value).encode()))
    return event


def closes(outcome: str) -> list[HistoryEvent]:
    entry = {
        "kind": "closed",
        "rollout_id": "t/s/1/1",
        "sequence": 1,
        "at": "2026-01-01T00:00:00Z",
        "data": {"outcome": outcome},
    }
    event = HistoryEvent(event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    scheduled = event.activity_task_scheduled_event_attributes
    scheduled.activity_type.name = "write_ledger"
    given: dict[str, Any] = {"entries": [entry], "service": "s", "environment": "t", "ledger": {}}
    scheduled.input.payloads.add().data = json.dumps(given).encode()
    return [shows(CoalmineOutcome=outcome), event]


def completes(outcome: str) -> HistoryEvent:
    event = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
    result = event.workflow_execution_completed_event_attributes.result
    result.payloads.add().data = json.dumps({"outcome": outcome}).encode()
    return event


CANCEL = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
CANCELED = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED)
PATCHED = shows(TemporalChangeVersion="a patch")
PROMOTED = shows(CoalmineOutcome="promoted")
BEGUN = shows(CoalmineOutcome=None)


def told(*events: HistoryEvent) -> Told:
    return Told([WorkflowHistory("canary/t/s", list(events))])


def test_a_cancelled_rollout_has_the_outcome_of_its_record() -> None:
    back = told(BEGUN, CANCEL, *closes("rolled_back"), CANCELED)
    assert (back.closed, back.outcome, back.promoted, cancels(back)) == ("canceled", "rolled_back", False, [])
    late = told(BEGUN, PROMOTED, CANCEL, *closes("promoted"), CANCELED)
    assert (late.closed, late.outcome, late.promoted, cancels(late)) == ("canceled", "promoted", True, [])


def test_a_patch_that_is_asked_takes_no_outcome_back() -> None:
    assert told(BEGUN, PROMOTED, PATCHED).promoted
    assert not told(BEGUN, PROMOTED, BEGUN).promoted


@pytest.mark.parametrize(
    ("events", "wrong"),
    [
        ([BEGUN, CANCEL, PROMOTED, *closes("promoted"), CANCELED], "it was promoted after it had been cancelled"),
        (
            [BEGUN, CANCEL, *closes("rolled_back"), completes("rolled_back")],
            "it was cancelled, and completed as rolled",
        ),
        ([PROMOTED, *closes("rolled_back"), BEGUN, CANCELED], "the outcome is not one: its result rolled_back"),
        ([*closes("promoted"), completes("rolled_back")], "the outcome is not one: its result rolled_back"),
    ],
)
def test_what_does_not_go_together_is_found(events: list[HistoryEvent], wrong: str) -> None:
    (found,) = cancels(told(*events))
    assert wrong in found
