"""``coalmine history`` tells of a submission once, wherever a history has it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.contrib.pydantic import pydantic_data_converter

from coalmine.records import CanaryInput, Record, Submission
from coalmine.timeline import _Reader
from tests.workflows.specs import make_submission

SENT = make_submission()
OTHER = make_submission(by="bo")
BARE = CanaryInput(service="checkout", environment="test")
WITH_IT = BARE.model_copy(update={"submission": SENT})


def _fill(payloads: Payloads, given: Record) -> None:
    payload = payloads.payloads.add()
    payload.metadata["encoding"], payload.data = b"json/plain", given.model_dump_json(by_alias=True).encode()


def _began(given: CanaryInput) -> HistoryEvent:
    event = HistoryEvent(event_id=1, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
    _fill(event.workflow_execution_started_event_attributes.input, given)
    return event


def _accepted(given: Submission | None) -> HistoryEvent:
    event = HistoryEvent(event_id=5, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
    attributes = event.workflow_execution_update_accepted_event_attributes
    attributes.protocol_instance_id = "submit"
    if given is not None:
        attributes.accepted_request.input.name = "submit"
        _fill(attributes.accepted_request.input.args, given)
    return event


def _heard_again(given: Submission) -> HistoryEvent:
    event = HistoryEvent(event_id=4, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED)
    asked = event.workflow_execution_update_admitted_event_attributes.request.input
    asked.name = "submit"
    _fill(asked.args, given)
    return event


@pytest.mark.parametrize(
    ("events", "by"),
    [
        ([_began(WITH_IT)], ["ana"]),
        ([_began(BARE), _accepted(SENT)], ["ana"]),
        ([_began(WITH_IT), _accepted(SENT)], ["ana"]),
        ([_began(WITH_IT), _accepted(SENT), _accepted(OTHER)], ["ana", "bo"]),
        ([_began(WITH_IT), _heard_again(SENT), _accepted(None)], ["ana"]),
        ([_began(BARE), _heard_again(SENT), _accepted(None)], ["ana"]),
    ],
)
async def test_each_submission_is_told_once(events: list[HistoryEvent], by: list[str]) -> None:
    reader: Any = _Reader(pydantic_data_converter, "run", everything=False)
    for event in events:
        await reader.take(event)
    assert [entry.by for entry in reader.entries if entry.kind == "submitted"] == by, json.dumps(
        [entry.model_dump(mode="json") for entry in reader.entries]
    )
