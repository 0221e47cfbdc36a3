"""What a run's history says of its route, and what of one that this build cannot read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.rollout_runs import RolloutRuns
from coalmine.errors import HistoryUnreadable
from coalmine.failure_converter import EncodedRedactingFailureConverter
from coalmine.ownership import Run
from coalmine.records import Recalled, RolloutContext, RouteState, ShiftRequest, Watched
from tests.workflows.specs import make_spec, make_submission

RUN = Run(workflow_id="canary/test/checkout", run_id="r", open=False, started_at=datetime(2026, 1, 1, tzinfo=UTC))
GOOD = {
    "service": "checkout",
    "environment": "test",
    "submission": make_submission().model_dump(mode="json", by_alias=True),
}


AT_REST = {"checkout-v1": 100.0, "checkout-v2": 0.0}


class OneHistory:
    """As much of a client as reads one history."""

    namespace = "default"
    data_converter = pydantic_data_converter

    def __init__(self, *events: HistoryEvent) -> None:
        self.events = events

    def get_workflow_handle(self, workflow_id: str, run_id: str) -> OneHistory:
        return self

    async def fetch_history_events(self, **options: Any) -> AsyncIterator[HistoryEvent]:
        for event in self.events:
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


def completed(value: Any) -> HistoryEvent:
    event = HistoryEvent(event_id=8, event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
    event.activity_task_completed_event_attributes.scheduled_event_id = 7
    payload = event.activity_task_completed_event_attributes.result.payloads.add()
    payload.metadata["encoding"], payload.data = b"json/plain", value.model_dump_json(by_alias=True).encode()
    return event


def reset(made: str) -> HistoryEvent:
    """Where the run begins that a reset made."""
    event = HistoryEvent(event_id=20, event_type=EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)
    failed = event.workflow_task_failed_event_attributes
    failed.cause = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
    failed.new_run_id = made
    return event


def copied() -> list[HistoryEvent]:
    """What the run that was reset did: it read the route, and wrote it."""
    first = began(GOOD)
    first.workflow_execution_started_event_attributes.original_execution_run_id = "base"
    return [first, scheduled("read_route", {}), completed(RouteState(weights=AT_REST, generation=1)), wrote("1/1")]


def wrote(rollout_id: str) -> HistoryEvent:
    request = ShiftRequest(
        weights=AT_REST, generation=2, route=make_spec().route, context=RolloutContext(rollout_id=rollout_id)
    )
    return scheduled("shift", request.model_dump(mode="json", by_alias=True))


def terminated(by: str) -> HistoryEvent:
    event = HistoryEvent(event_id=9, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED)
    event.workflow_execution_terminated_event_attributes.identity = by
    return event


def hooked(name: str) -> HistoryEvent:
    given = {"url": "http://127.0.0.1:1", "hook": name, "key": "k", "rollout_id": "r"}
    return scheduled("run_hook", {**given, "service": "checkout", "environment": "test"})


def submitted(kind: Any) -> HistoryEvent:
    """The update ``submit``: as it was accepted, or as a reset let it be heard again."""
    event = HistoryEvent(event_id=5, event_type=kind)
    if kind == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
        asked = event.workflow_execution_update_admitted_event_attributes.request.input
    else:
        asked = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
    asked.name = "submit"
    payload = asked.args.payloads.add()
    payload.metadata["encoding"], payload.data = b"json/plain", json.dumps(GOOD["submission"]).encode()
    return event


@pytest.mark.parametrize(
    "kind",
    [
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED,
    ],
)
async def test_what_was_submitted_is_known_also_where_a_reset_let_it_be_heard_again(kind: Any) -> None:
    bare = {key: GOOD[key] for key in ("service", "environment")}
    found = await facts(began(bare), submitted(kind), wrote("1/1"))
    assert found.written
    assert found.spec == make_submission().spec


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


@pytest.mark.parametrize(
    ("events", "open_still"),
    [
        ([hooked("prepare"), terminated("history-resetter")], True),
        ([hooked("retire"), terminated("history-resetter")], False),
        ([terminated("ana@laptop")], False),
        ([], False),
    ],
)
async def test_only_a_reset_leaves_a_window_open_and_only_until_the_old_version_is_retired(
    events: list[HistoryEvent], open_still: bool
) -> None:
    runs = RolloutRuns(OneHistory(began(GOOD), *events))  # type: ignore[arg-type]
    assert await runs.was_reset_in_window(RUN) is open_still


async def test_a_hook_that_cannot_be_read_is_named() -> None:
    runs = RolloutRuns(OneHistory(began(GOOD), scheduled("run_hook", {"odd": 1})))  # type: ignore[arg-type]
    with pytest.raises(HistoryUnreadable, match="event 7 cannot be read"):
        await runs.was_reset_in_window(RUN)


def recalled(ended: str) -> list[HistoryEvent]:
    """It was told what the run before left."""
    spec = make_spec()
    left = Watched(
        workflow_id=RUN.workflow_id,
        run_id="base",
        rollout_id="1/1",
        service=spec.service,
        environment=spec.environment,
        route=spec.route,
        baseline="checkout-v1",
        canary="checkout-v2",
        rest={"checkout-v1": 90.0, "checkout-v2": 10.0},
        ended=ended,
        ledger=spec.ledger,
    )
    given = {"workflow_id": RUN.workflow_id, "run_id": "r"}
    return [scheduled("recall_route", given), completed(Recalled(left=left))]


@pytest.mark.parametrize(
    ("own", "written"),
    [
        ([reset("r")], False),
        ([reset("r"), *recalled("promoted")], False),
        ([reset("r"), *recalled("rolled_back")], True),
        ([reset("r"), wrote("1/1")], True),
        ([reset("before"), wrote("1/1"), reset("r")], False),
        ([reset("before"), *recalled("rolled_back"), reset("r")], False),
        ([reset("before"), reset("r"), wrote("1/1")], True),
    ],
    ids=["none", "lost it", "has it", "wrote", "a reset before wrote", "a reset before has it", "again"],
)
async def test_what_a_reset_copied_was_written_by_the_run_that_was_reset(
    own: list[HistoryEvent], written: bool
) -> None:
    said = await facts(*copied(), *own)
    assert said.written is written
    assert said.snapshot == AT_REST
    assert said.rollout_id == "1/1"


async def test_what_was_not_copied_is_read_up_to_its_first_write_only() -> None:
    first, *events = copied()
    first.workflow_execution_started_event_attributes.original_execution_run_id = RUN.run_id
    said = await facts(first, *events, scheduled("write_ledger", {"odd": 1}))
    assert said.written
    assert said.snapshot == AT_REST


OPEN = RUN.model_copy(update={"open": True, "phase": "stepping"})
ADVISING = {**make_submission().model_dump(mode="json", by_alias=True), "advise": True}


def submitted_by_update() -> HistoryEvent:
    event = HistoryEvent(event_id=4, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
    asked = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
    asked.name = "submit"
    payload = asked.args.payloads.add()
    payload.metadata["encoding"], payload.data = b"json/plain", json.dumps(ADVISING).encode()
    return event


@pytest.mark.parametrize(
    ("events", "owns"),
    [
        ([began(GOOD)], True),
        ([began({**GOOD, "submission": ADVISING})], False),
        ([began({"service": "checkout", "environment": "test"}), submitted_by_update()], False),
        ([began("no input")], True),
    ],
    ids=["shifts", "advises", "advises, by the command", "unreadable"],
)
async def test_one_that_only_advises_owns_no_route(events: list[HistoryEvent], owns: bool) -> None:
    runs = RolloutRuns(OneHistory(*events))  # type: ignore[arg-type]
    assert await runs.owns(OPEN) is owns
    assert not await runs.owns(RUN)


async def test_what_was_not_submitted_yet_is_asked_again() -> None:
    history = OneHistory(began({"service": "checkout", "environment": "test"}))
    runs = RolloutRuns(history)  # type: ignore[arg-type]
    assert await runs.owns(OPEN)
    # The command starts the run and submits to it; who looks between the two knows nothing yet.
    history.events += (submitted_by_update(),)
    assert not await runs.owns(OPEN)
    history.events = ()
    assert not await runs.owns(OPEN)


async def test_what_could_not_be_read_is_asked_again() -> None:
    history = OneHistory(began("no input"))
    runs = RolloutRuns(history)  # type: ignore[arg-type]
    assert await runs.owns(OPEN)
    history.events = (began({**GOOD, "submission": ADVISING}),)
    assert not await runs.owns(OPEN)


async def test_one_that_waits_long_to_be_admitted_owns_no_route() -> None:
    runs = RolloutRuns(OneHistory(began(GOOD)))  # type: ignore[arg-type]
    waits = OPEN.model_copy(update={"phase": "admitting"})
    assert not await runs.owns(waits)
    assert await runs.owns(waits.model_copy(update={"started_at": datetime.now(UTC)}))


@pytest.mark.parametrize("has_key", [True, False])
async def test_why_a_task_failed_is_told_with_encryption_on_too(has_key: bool) -> None:
    converter = replace(pydantic_data_converter, failure_converter_class=EncodedRedactingFailureConverter)
    event = HistoryEvent(event_id=9)
    failure = event.workflow_task_failed_event_attributes.failure
    await converter.encode_failure(RuntimeError("what was recorded differs"), failure)
    if not has_key:
        failure.encoded_attributes.metadata["encoding"] = b"binary/encrypted"
    history = OneHistory(event)
    history.data_converter = converter
    last = await RolloutRuns(history).last_tasks(OPEN)  # type: ignore[arg-type]
    assert ("what was recorded differs" in last.failure, "Encoded failure" in last.failure) == (has_key, not has_key)
