"""Runs workflows, but never ahead of their history, and leaves a trace of every task in it.

Four faults of the SDK's core (1.35) can leave a history that no worker can replay, and a rollout stuck for good.

A query that reaches a worker which does not hold the workflow makes the SDK's core read the history as it is, and apply
what happened after the last workflow task: a timer that fired, an activity that ended, while the task for it has not
begun. The workflow then acts at the time of a task long over, and what it decides goes into the next task; whoever
replays that task gives it another time, decides otherwise, and the rollout is stuck (core 1.35, seen with every status
query sent while a worker is replaced). Such an activation has the time of the one before it, over a longer history. It
is refused here: the query fails, the worker forgets the workflow, and replays it when the task comes. Where it is
closed no task will come, and nothing can go wrong: it is let through, so that what was terminated can be asked.

The same query may come while a task has begun at another worker, which freezes then: what happened before that task is
taken in as if the task were here, and for good if this worker is given the next one, while in history the task timed
out. If nothing else has happened by then, the core answers that next one with what was decided for the first, at
another time, and asks nobody. What was taken in cannot be told from a task when it comes, but the query that brought it
comes right after. So a query that comes without a task asks the server whether the last task was ever completed; where
it was not, or nobody can say, the query fails, the worker forgets the workflow, and replays it when the task comes.
Where it is closed, as by a termination in the middle of that task, none comes, and it is let through here too.

A worker that takes a workflow over while an update waits folds a task in which nothing was decided into the next one,
and does not when it replays what it has written (issue 1591 of temporalio/sdk-python). Signals go before activities
that ended, and what had been two tasks comes out in another order. So a task in which nothing was decided counts itself
in the memo; tasks with commands are never folded.

The first task of a run that a reset made hears again what was said before. The SDK gives it updates before signals when
it is done, and after them when it is replayed, and what is decided comes out in another order: the rollout is stuck
once its worker is another. They are put into one order here, updates last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from temporalio import workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import PayloadConverter
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from coalmine.records import ASKED_TOO_EARLY, NEVER_COMPLETED

PATCH = "count-quiet-tasks"
"""Says that the run counts tasks in which nothing was decided; of the first task."""
COUNT = "quiet_tasks"
"""Where it does so in the memo."""
_NOT_EVENTS = {"query_workflow", "remove_from_cache"}
_ALONE = "legacy_query"
"""The id of a query that came without a task."""


class Truth(Protocol):
    """What the server knows of a run; called from the thread that runs workflows."""

    def is_closed(self, workflow_id: str, run_id: str) -> bool:
        """Whether a workflow is over."""
        ...

    def is_completed(self, workflow_id: str, run_id: str, started: int) -> bool:
        """Whether the workflow task that began with this event was completed."""
        ...


class Unasked:
    """Stands for the server where there is none, as in a replay: nothing is over, and every task was completed."""

    def is_closed(self, workflow_id: str, run_id: str) -> bool:
        """Not over."""
        return False

    def is_completed(self, workflow_id: str, run_id: str, started: int) -> bool:
        """Completed."""
        return True


@dataclass(frozen=True)
class HistoryBoundRunner(SandboxedWorkflowRunner):
    """The SDK's sandbox, for a worker whose workflows people query while other workers die."""

    truth: Truth = field(default_factory=Unasked)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """An instance that takes in no event before the task that carries it."""
        return HistoryBound(super().create_instance(det), self.truth, det.info.workflow_id)


class HistoryBound(WorkflowInstance):
    """One workflow, as another instance runs it."""

    def __init__(self, inner: WorkflowInstance, truth: Truth | None = None, workflow_id: str = "") -> None:
        self._inner = inner
        self._truth = truth or Unasked()
        self._id = workflow_id
        self._task: tuple[int, int] | None = None
        """When the last task began, in seconds and nanoseconds."""
        self._length = 0
        """Of the history up to there, in events: the last began the task."""
        self._unproved = 0
        """The event that began the last task that was no replay; 0: it is known to have been completed."""
        self._quiet: int | None = None
        """How many tasks have decided nothing; None: the run began before they were counted."""

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """Let the workflow take in what happened, or refuse what no task has brought yet."""
        if all(job.WhichOneof("variant") in _NOT_EVENTS for job in act.jobs):
            alone = any(job.query_workflow.query_id == _ALONE for job in act.jobs)
            if alone and self._stands_on_nothing(act.run_id):
                return _refused(act, NEVER_COMPLETED)
            return self._inner.activate(act)
        _order_what_is_heard_again(act)
        task = (act.timestamp.seconds, act.timestamp.nanos)
        # Within one task the history does not grow; while replaying, tasks are read as they were.
        early = not act.is_replaying and task == self._task and act.history_length > self._length
        if early and not self._truth.is_closed(self._id, act.run_id):
            return _refused(act, ASKED_TOO_EARLY)
        self._task, self._length = task, act.history_length
        self._unproved = 0 if act.is_replaying else act.history_length
        completion = self._inner.activate(act)
        if completion.HasField("successful"):
            self._count(act, completion)
        return completion

    def _stands_on_nothing(self, run_id: str) -> bool:
        """Whether the last task that was taken in may have been another worker's, and came to nothing there."""
        if self._unproved and not self._truth.is_completed(self._id, run_id, self._unproved):
            return not self._truth.is_closed(self._id, run_id)
        self._unproved = 0
        return False

    def _count(self, act: WorkflowActivation, completion: WorkflowActivationCompletion) -> None:
        commands = completion.successful.commands
        if any(job.HasField("initialize_workflow") for job in act.jobs):
            known = {job.notify_has_patch.patch_id for job in act.jobs if job.HasField("notify_has_patch")}
            if PATCH in known or not act.is_replaying:
                self._quiet = 0
                commands.add().set_patch_marker.patch_id = PATCH
        elif self._quiet is not None and not commands:
            self._quiet += 1
            fields = commands.add().modify_workflow_properties.upserted_memo.fields
            fields[COUNT].CopyFrom(PayloadConverter.default.to_payload(self._quiet))

    def get_serialization_context(self, command_info: Any) -> Any:
        """As the instance says."""
        return self._inner.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> Any:
        """As the instance says."""
        return self._inner.get_external_store_context(command_info)

    def get_info(self) -> workflow.Info:
        """As the instance says."""
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        """As the instance says."""
        return self._inner.get_thread_id()


def _order_what_is_heard_again(act: WorkflowActivation) -> None:
    """Updates after all else in the first task after a reset, which is the one that brings a new random seed."""
    if any(job.HasField("update_random_seed") for job in act.jobs):
        jobs = sorted(act.jobs, key=lambda job: job.HasField("do_update"))
        del act.jobs[:]
        act.jobs.extend(jobs)


def _refused(act: WorkflowActivation, why: str) -> WorkflowActivationCompletion:
    refused = WorkflowActivationCompletion(run_id=act.run_id)
    refused.failed.failure.message = why
    return refused
