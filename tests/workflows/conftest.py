"""A rollout in a scripted world, driven by the test: on a server whose time skips, or on a dev server in real time.

The time-skipping server never ends a workflow task that cancels an activity which ends at the same moment; what races
belongs on the dev server.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType, IndexedValueType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.testservice.v1 import SleepRequest
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue, WorkflowIDConflictPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from coalmine.records import (
    HOOK_TASK_QUEUE,
    SIDE_TASK_QUEUE,
    TASK_QUEUE,
    CanaryInput,
    CommandReceipt,
    DecisionLog,
    Phase,
    Receipt,
    RolloutReport,
    RolloutStatus,
    Submission,
    canary_id,
)
from coalmine.search_attributes import SEARCH_ATTRIBUTES
from coalmine.spec.canary import CanarySpec
from tests.workflows.world import World, make_spec, make_submission
from workflows.canary import Canary
from workflows.fleet import Fleet
from workflows.one_input import OneInput

PATIENCE = 400
"""Polls before a condition that never comes true is an error; each lets some seconds of the server's time pass."""

WITHIN = 60.0
"""Seconds of real time such a condition is given at least: a busy machine needs many for a little work."""
SOON = 1.0
"""Seconds within which a timer may fire, or a try begin, before what is said now has been dealt with."""
PASSING = timedelta(minutes=3)
"""Real time that a stretch of the server's time may take: a slow machine needs a minute for an hour full of looks."""
QUERY_LOST = timedelta(seconds=30)
"""An answer that has not come by then does not come."""
TASK_ENDS = (
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
)


@dataclass
class Rollout:
    """One canary on the test server, and the hands to move it."""

    client: Client
    world: World
    sleep: Callable[[float], Awaitable[None]]
    """Let this many seconds of the server's time pass."""
    now: Callable[[], Awaitable[datetime]]
    """The server's time."""
    id: str = "canary/test/checkout"
    tick: float = 2
    """Seconds of the server's time between two looks at the status."""
    skips: bool = False
    """On the time-skipping server."""
    handle: WorkflowHandle[Any, RolloutReport] = field(init=False)

    def __post_init__(self) -> None:
        self.handle = self.client.get_workflow_handle(self.id, result_type=RolloutReport)

    async def start(self, submission: Submission | None = None, **changes: Any) -> None:
        """Start with a submission in the input, as the Temporal UI would."""
        submission = submission or make_submission(**changes)
        spec = submission.spec
        self.id = canary_id(spec.environment, spec.service, spec.region)
        await self.client.start_workflow(
            "Canary",
            CanaryInput(service=spec.service, environment=spec.environment, region=spec.region, submission=submission),
            id=self.id,
            task_queue=TASK_QUEUE,
        )
        self.handle = self.client.get_workflow_handle(self.id, result_type=RolloutReport)

    async def submit(self, submission: Submission | None = None, **changes: Any) -> Receipt:
        """Update-with-start, as ``coalmine start`` does."""
        await self.settle()
        submission = submission or make_submission(**changes)
        spec = submission.spec
        operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            "Canary",
            CanaryInput(service=spec.service, environment=spec.environment, region=spec.region),
            id=canary_id(spec.environment, spec.service, spec.region),
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        receipt: Receipt = await self.client.execute_update_with_start_workflow(
            "submit", submission, start_workflow_operation=operation, result_type=Receipt
        )
        return receipt

    async def status(self) -> RolloutStatus:
        """The query ``status``.

        The time-skipping server can lose a query that comes as a run continues as new; then it is asked once more.
        """
        status: RolloutStatus
        try:
            status = await self.handle.query("status", result_type=RolloutStatus, rpc_timeout=QUERY_LOST)
        except RPCError as error:
            if not self.skips or error.status is not RPCStatusCode.CANCELLED:
                raise
            status = await self.handle.query("status", result_type=RolloutStatus)
        return status

    async def decisions(self) -> DecisionLog:
        """The query ``decisions``."""
        log: DecisionLog = await self.handle.query("decisions", result_type=DecisionLog)
        return log

    async def settle(self) -> None:
        """Let nothing but deliberate hangs be under way, and no timer be due, before something is said.

        The time-skipping server never ends a workflow task that cancels an activity which ends at the same moment, nor
        one that cancels a timer which fires while the task is with the worker (open as 3088 of temporalio/sdk-java; a
        real server hands the task out again). A sleep of whole looks ends as the next look's timer falls due.
        """
        until = time.monotonic() + WITHIN
        while self.skips and time.monotonic() < until:
            try:
                history = await self.handle.fetch_history()
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return
                raise
            kinds = Counter(event.event_type for event in history.events)
            open_tasks = kinds[EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED] - sum(kinds[end] for end in TASK_ENDS)
            if not open_tasks and await self._passes_timer(history):
                continue
            if not open_tasks and not await self._may_end_soon(history):
                return
            await asyncio.sleep(0.01)

    async def _may_end_soon(self, history: WorkflowHistory) -> bool:
        """Whether a try of an activity is under way that does not hang on purpose, or the next one is due soon."""
        described = (await self.handle.describe()).raw_description.pending_activities
        pending = {one.activity_id: one for one in described}
        soon = await self.now() + timedelta(seconds=SOON)
        # One that the history has and the server no more has just ended: its task is still to come.
        ends = [
            next_try(pending[one.activity_id], one) if one.activity_id in pending else None
            for one in open_activities(history)
        ]
        return sum(end is None or end < soon for end in ends) > self.world.hanging

    async def _passes_timer(self, history: WorkflowHistory) -> bool:
        """Let a timer fire that would do so soon."""
        falls_due = next_timer(history)
        left = (falls_due - await self.now()).total_seconds() if falls_due is not None else SOON
        if left >= SOON:
            return False
        await self.sleep(max(left, 0) + 0.05)
        return True

    async def send(self, verb: str, **given: Any) -> None:
        """A signal with a JSON object, by ana unless told."""
        await self.settle()
        await self.handle.signal(verb, {"by": "ana", **given})

    async def send_raw(self, verb: str, *payloads: RawValue) -> None:
        """A signal with whatever payloads."""
        await self.settle()
        await self.handle.signal(verb, args=list(payloads))

    async def say(self, verb: str, **given: Any) -> CommandReceipt:
        """An update; a refusal raises ``WorkflowUpdateFailedError``."""
        await self.settle()
        receipt: CommandReceipt = await self.handle.execute_update(
            verb, {"by": "ana", **given}, result_type=CommandReceipt
        )
        return receipt

    async def cancel(self, **given: Any) -> None:
        """Cancel the workflow."""
        await self.settle()
        await self.handle.cancel(**given)

    async def refused(self, verb: str, **given: Any) -> str:
        """An update that must be refused: its reason."""
        with pytest.raises(WorkflowUpdateFailedError) as failure:
            await self.say(verb, **given)
        cause = failure.value.cause
        assert isinstance(cause, ApplicationError), cause
        return cause.message

    async def until(self, met: Callable[[RolloutStatus], bool], step: float | None = None) -> RolloutStatus:
        """Let time pass until the status is as wanted."""
        step = step or self.tick
        status = await self.status()
        for _ in polls():
            if met(status):
                return status
            await self.sleep(step)
            status = await self.status()
        raise AssertionError(f"never came: {status.model_dump_json(exclude_defaults=True)}")

    async def sleep_until(self, moment: datetime | None, before: float = 0) -> None:
        """Let time pass up to a moment, or some seconds before it."""
        assert moment is not None
        await self.sleep(max((moment - await self.now()).total_seconds() - before, 0))

    async def reach(self, phase: Phase, step: float | None = None) -> RolloutStatus:
        """Let time pass until the rollout is in a phase."""
        return await self.until(lambda status: status.phase is phase, step)

    async def happens(self, met: Callable[[], bool]) -> None:
        """Wait, without letting time pass, until the world has seen something."""
        for _ in polls():
            if met():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("never happened")

    async def soon(self, met: Callable[[RolloutStatus], bool]) -> RolloutStatus:
        """Wait, without letting time pass, until the status is as wanted."""
        for _ in polls():
            status = await self.status()
            if met(status):
                return status
            await asyncio.sleep(0.01)
        raise AssertionError(f"never came: {status.model_dump_json(exclude_defaults=True)}")

    async def end(self, step: float | None = None) -> None:
        """Let time pass until the workflow has ended, in whatever way."""
        step = step or self.tick * 15
        for _ in range(PATIENCE):
            if (await self.handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
                return
            await self.sleep(step)
        raise AssertionError(f"never ended: {(await self.status()).model_dump_json(exclude_defaults=True)}")

    async def result(self, step: float | None = None) -> RolloutReport:
        """Let time pass until the end: the report."""
        await self.end(step)
        return await self.handle.result()

    async def cancelled(self, step: float | None = None) -> None:
        """Let time pass until the end, which must be CANCELED."""
        await self.end(step)
        with pytest.raises(WorkflowFailureError) as failure:
            await self.handle.result()
        assert type(failure.value.cause).__name__ == "CancelledError", failure.value.cause

    async def failed_tasks(self) -> list[str]:
        """Messages of workflow tasks that failed; not of those repeated for a signal that came between."""
        history = await self.handle.fetch_history()
        failures = [event.workflow_task_failed_event_attributes for event in history.events]
        between = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
        return [failed.failure.message for failed in failures if failed.cause not in (0, between)]

    async def events(self) -> list[str]:
        """Types of the history's events."""
        history = await self.handle.fetch_history()
        return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events]


def polls() -> Iterator[int]:
    """So many as a condition is given, and until it was given enough of real time."""
    until = time.monotonic() + WITHIN
    for number in count():
        if number >= PATIENCE and time.monotonic() > until:
            return
        yield number


def open_activities(history: WorkflowHistory) -> list[ActivityTaskScheduledEventAttributes]:
    """Those that have not come to an end yet."""
    found = {
        event.event_id: event.activity_task_scheduled_event_attributes
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    }
    for event in history.events:
        for ended in (
            event.activity_task_completed_event_attributes,
            event.activity_task_failed_event_attributes,
            event.activity_task_timed_out_event_attributes,
            event.activity_task_canceled_event_attributes,
        ):
            found.pop(ended.scheduled_event_id, None)
    return list(found.values())


def next_try(activity: PendingActivityInfo, scheduled: ActivityTaskScheduledEventAttributes) -> datetime:
    """When the next try of one begins; long ago where one is under way."""
    ended = activity.last_attempt_complete_time.ToDatetime(UTC)
    if not activity.HasField("last_attempt_complete_time") or ended < activity.last_started_time.ToDatetime(UTC):
        return datetime.min.replace(tzinfo=UTC)
    # Between tries its number is that of the next.
    policy = scheduled.retry_policy
    pause = policy.initial_interval.ToTimedelta() * 2.0 ** min(activity.attempt - 2, 16)
    return ended + min(pause, policy.maximum_interval.ToTimedelta())


def next_timer(history: WorkflowHistory) -> datetime | None:
    """When the next of the timers fires that have neither fired nor been cancelled."""
    due: dict[int, datetime] = {}
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED:
            length = event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
            due[event.event_id] = event.event_time.ToDatetime(UTC) + length
        elif event.event_type == EventType.EVENT_TYPE_TIMER_FIRED:
            due.pop(event.timer_fired_event_attributes.started_event_id, None)
        elif event.event_type == EventType.EVENT_TYPE_TIMER_CANCELED:
            due.pop(event.timer_canceled_event_attributes.started_event_id, None)
    return min(due.values(), default=None)


def quick(**changes: Any) -> CanarySpec:
    """A spec for real time: looks every second, three seconds a step."""
    policy = {"look": "1s", **changes.pop("policy", {})}
    return make_spec(
        **{
            "steps": [{"weight": 10, "for": "3s"}, {"weight": 50, "for": "3s"}],
            "policy": policy,
            "promotion": {"bake": "2s", "rollback_window": "3s"},
            "sources": {"prometheus": {"url": "http://127.0.0.1:9090", "scrape": "100ms", "flush": "100ms"}},
            **changes,
        }
    )


async def now() -> datetime:
    """The dev server's time."""
    return datetime.now(UTC)


async def add_search_attributes(client: Client) -> None:
    """Register ours; the time-skipping server knows none."""
    kinds = {
        name: IndexedValueType.INDEXED_VALUE_TYPE_INT if kind == "Int" else IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        for name, kind in SEARCH_ATTRIBUTES.items()
    }
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds)
    )


def workers(client: Client, world: World, **options: Any) -> list[Worker]:
    """All queues, with the sandbox as in production."""
    main = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Canary, Fleet],
        activities=world.activities,
        interceptors=[OneInput()],
        **options,
    )
    side = Worker(client, task_queue=SIDE_TASK_QUEUE, activities=world.side_activities)
    hooks = Worker(client, task_queue=HOOK_TASK_QUEUE, activities=world.hook_activities)
    return [main, side, hooks]


@pytest.fixture
def world() -> World:
    """A world where all goes well."""
    return World()


async def pass_time(env: WorkflowEnvironment, length: timedelta) -> None:
    """Let the server's time pass; ``env.sleep`` gives up after 30 s of real time."""
    request = SleepRequest()
    request.duration.FromTimedelta(length)
    await env.client.test_service.unlock_time_skipping_with_sleep(request, timeout=PASSING)


@pytest.fixture
async def env() -> AsyncIterator[WorkflowEnvironment]:
    """A server of this test's own: its clock jumps."""
    path = Path(sys.executable).with_name("temporal-test-server")
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(path),
        data_converter=pydantic_data_converter,
        test_server_startup_timeout=timedelta(seconds=WITHIN),
    )
    await add_search_attributes(environment.client)
    yield environment
    await environment.shutdown()


@pytest.fixture
async def rollout(env: WorkflowEnvironment, world: World) -> AsyncIterator[Rollout]:
    """A worker in the scripted world; the test starts the release."""
    world.client = env.client

    async def sleep(seconds: float) -> None:
        await pass_time(env, timedelta(seconds=seconds))

    async with AsyncExitStack() as stack:
        for worker in workers(env.client, world):
            await stack.enter_async_context(worker)
        yield Rollout(env.client, world, sleep, env.get_current_time, skips=True)


@pytest.fixture
async def live(temporal_client: Client, world: World) -> AsyncIterator[Rollout]:
    """The same on the dev server: real time, and races as they are."""
    world.client = temporal_client
    async with AsyncExitStack() as stack:
        for worker in workers(temporal_client, world):
            await stack.enter_async_context(worker)
        yield Rollout(temporal_client, world, asyncio.sleep, now, tick=0.05)
