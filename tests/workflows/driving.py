"""A rollout in a scripted world, driven by the test: on a server whose time skips, or on a dev server in real time.

The time-skipping server never ends a workflow task that cancels an activity which ends at the same moment; what races
belongs on the dev server.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from coalmine.records import (
    ASKED_TOO_EARLY,
    NEVER_COMPLETED,
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
from tests.workflows.pending import next_timer, next_try, open_activities
from tests.workflows.specs import make_submission
from tests.workflows.world import World

PATIENCE = 400
"""Polls before a condition that never comes true is an error; each lets some seconds of the server's time pass."""

WITHIN = 60.0
"""Seconds of real time such a condition is given at least: a busy machine needs many for a little work."""
SOON = 1.0
"""Seconds within which a timer may fire, or a try begin, before what is said now has been dealt with."""
QUERY_LOST = timedelta(seconds=5)
"""What the time-skipping server has not answered by then is asked once more."""
QUERY_GONE = (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED)
"""How that is told: by the client that gave it up, or by the server."""
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
            CanaryInput(service=spec.service, environment=spec.environment, region=spec.region, submission=submission),
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

        The time-skipping server can lose a query that comes as a run continues as new; then it is asked once more. A
        worker as in production refuses one that comes between an event and its task: then too, as every client does.
        """
        for _ in polls():
            try:
                return await self._status()
            except WorkflowQueryFailedError as error:
                if error.message not in (ASKED_TOO_EARLY, NEVER_COMPLETED):
                    raise
            await asyncio.sleep(0.05)
        return await self._status()

    async def _status(self) -> RolloutStatus:
        status: RolloutStatus
        patience = QUERY_LOST if self.skips else timedelta(seconds=WITHIN)
        try:
            status = await self.handle.query("status", result_type=RolloutStatus, rpc_timeout=patience)
        except RPCError as error:
            if not self.skips or error.status not in QUERY_GONE:
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

    async def tasks(self, run_id: str) -> list[int]:
        """Events at which a task of a run was done."""
        history = await self.client.get_workflow_handle(self.id, run_id=run_id).fetch_history()
        done = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        return [event.event_id for event in history.events if event.event_type == done]

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
