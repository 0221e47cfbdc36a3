"""What a rollout's history says of its route: the input, the route as it was read, the first write."""

from __future__ import annotations

from typing import Any

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.update.v1 import Input
from temporalio.converter import DataConverter

from coalmine.errors import CoalmineError
from coalmine.ownership import RunFacts
from coalmine.records import (
    READ_ROUTE,
    RECALL_ROUTE,
    SHIFT,
    WRITE_LEDGER,
    CanaryInput,
    LedgerWrite,
    Outcome,
    Recalled,
    RouteState,
    ShiftRequest,
    Submission,
)
from coalmine.rollout import RolloutState


class FactsReading:
    """Takes events until the facts are whole: mostly some dozens, for the first write comes early.

    The history of a run that a reset made begins with a copy: what is written there, the run that was reset wrote.
    """

    def __init__(self, converter: DataConverter, run_id: str) -> None:
        self._converter = converter
        self._run_id = run_id
        self._copied = False
        """Whether what is read now was copied by a reset."""
        self.facts: RunFacts | None = None
        self.bad_input: Exception | None = None
        """Why its input is none: such a rollout fails before it writes anything, unless another build could read it."""
        self.wrote = False
        self.event = 0
        """The latest that was taken."""
        self._reads: set[int] = set()
        self._recalls: set[int] = set()

    async def take(self, event: HistoryEvent) -> bool:
        """Whether no more events are needed."""
        self.event = event.event_id
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                started = event.workflow_execution_started_event_attributes
                self._copied = started.original_execution_run_id not in ("", self._run_id)
                try:
                    await self._begin(started.input)
                except CoalmineError:
                    raise
                except Exception as error:
                    self.bad_input = error
            case EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                failed = event.workflow_task_failed_event_attributes
                if failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW:
                    self._begin_own(failed.new_run_id)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
                await self._submit(event.workflow_execution_update_accepted_event_attributes.accepted_request.input)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
                # One that a reset has heard again: what was asked stands here, and no more where it is accepted.
                await self._submit(event.workflow_execution_update_admitted_event_attributes.request.input)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled = event.activity_task_scheduled_event_attributes
                if scheduled.activity_type.name == RECALL_ROUTE.name:
                    self._recalls.add(event.event_id)
                elif scheduled.activity_type.name == READ_ROUTE.name:
                    self._reads.add(event.event_id)
                elif scheduled.activity_type.name == SHIFT.name and self.facts is None:
                    self.wrote = True
                elif scheduled.activity_type.name == SHIFT.name and self.facts is not None:
                    request = await self._decoded(scheduled.input, ShiftRequest)
                    self.facts.written = True
                    if request.context is not None:
                        self.facts.rollout_id = self.facts.rollout_id or request.context.rollout_id
                elif scheduled.activity_type.name == WRITE_LEDGER.name and self.facts is not None:
                    write = await self._decoded(scheduled.input, LedgerWrite)
                    self.facts.rollout_id = self.facts.rollout_id or write.entries[0].rollout_id
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                done = event.activity_task_completed_event_attributes
                if done.scheduled_event_id in self._recalls and self.facts is not None:
                    self._recall(await self._decoded(done.result, Recalled))
                elif done.scheduled_event_id in self._reads and self.facts is not None and not self.facts.snapshot:
                    # The first reading is the snapshot; later ones are taken after somebody overtook a write.
                    self.facts.snapshot = (await self._decoded(done.result, RouteState)).weights
        return not self._copied and self.facts is not None and self.facts.written and bool(self.facts.snapshot)

    async def _submit(self, asked: Input) -> None:
        if self.facts is None and asked.name == "submit":
            self.facts = RunFacts(spec=(await self._decoded(asked.args, Submission)).spec)

    def _begin_own(self, run_id: str) -> None:
        """A reset made a run here; with a reset of a reset, those before it were copied too."""
        self._copied = self._copied and run_id != self._run_id
        if self.facts is not None:
            self.facts.written = False

    def _recall(self, recalled: Recalled) -> None:
        """It takes over from the run before: until it has put back what that one left, this is to be seen to."""
        left = recalled.left
        if self.facts is None:
            return
        if recalled.taken is not None:
            # Not what it was before this rollout: others have been promoted since.
            self.facts.snapshot, self.facts.written = recalled.taken.rest, True
        if left is None or left.ended == Outcome.PROMOTED:
            return
        self.facts.snapshot, self.facts.written = self.facts.snapshot or left.rest, True
        self.facts.rollout_id = self.facts.rollout_id or left.rollout_id

    async def _begin(self, given: Payloads) -> None:
        if not given.payloads:
            return
        start = await self._decoded(given, CanaryInput)
        if start.carried is not None:
            state = RolloutState.model_validate(start.carried)
            self.facts = RunFacts(
                spec=state.spec,
                rollout_id=state.rollout_id,
                written=state.written,
                snapshot=state.snapshot.weights if state.snapshot is not None else {},
                to_archive=state.to_archive,
            )
        elif start.submission is not None:
            self.facts = RunFacts(spec=start.submission.spec)

    async def _decoded(self, payloads: Payloads, model: type[Any]) -> Any:
        (value,) = await self._converter.decode(payloads.payloads, [model])
        return value


async def submitted(event: HistoryEvent, converter: DataConverter) -> Submission | None:
    """What an event submits: the input of a run, or the update that came with its start."""
    started = event.workflow_execution_started_event_attributes
    if started.input.payloads:
        (given,) = await converter.decode(started.input.payloads, [CanaryInput])
        return RolloutState.model_validate(given.carried).submission if given.carried is not None else given.submission
    accepted = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
    admitted = event.workflow_execution_update_admitted_event_attributes.request.input
    for asked in (accepted, admitted):
        if asked.name == "submit":
            (submission,) = await converter.decode(asked.args.payloads, [Submission])
            return Submission.model_validate(submission)
    return None
