"""Runs workflows, but never ahead of their history, and leaves a trace of every task in it.

Two faults of the SDK's core (1.35) can leave a history that no worker can replay, and a rollout stuck for good.

A query that reaches a worker which does not hold the workflow makes the SDK's core read the history as it is, and apply
what happened after the last workflow task: a timer that fired, an activity that ended, while the task for it has not
begun. The workflow then acts at the time of a task long over, and what it decides goes into the next task; whoever
replays that task gives it another time, decides otherwise, and the rollout is stuck (core 1.35, seen with every status
query sent while a worker is replaced). Such an activation has the time of the one before it, over a longer history. It
is refused here: the query fails, the worker forgets the workflow, and replays it when the task comes. Where it is
closed no task will come, and nothing can go wrong: it is let through, so that what was terminated can be asked.

A worker that takes a workflow over while an update waits folds a task in which nothing was decided into the next one,
and does not when it replays what it has written (issue 1591 of temporalio/sdk-python). Signals go before activities
that ended, and what had been two tasks comes out in another order. So a task in which nothing was decided counts itself
in the memo; tasks with commands are never folded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from temporalio import workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import PayloadConverter
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from coalmine.records import ASKED_TOO_EARLY

PATCH = "count-quiet-tasks"
"""Says that the run counts tasks in which nothing was decided; of the first task."""
COUNT = "quiet_tasks"
"""Where it does so in the memo."""
IsClosed = Callable[[str, str], bool]
_NOT_EVENTS = {"query_workflow", "remove_from_cache"}


def _never(workflow_id: str, run_id: str) -> bool:
    return False


@dataclass(frozen=True)
class HistoryBoundRunner(SandboxedWorkflowRunner):
    """The SDK's sandbox, for a worker whose workflows people query while other workers die."""

    is_closed: IsClosed = _never
    """Whether a workflow (by its id and the run's) is over; called from the thread that runs workflows."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """An instance that takes in no event before the task that carries it."""
        info = det.info
        return HistoryBound(super().create_instance(det), lambda: self.is_closed(info.workflow_id, info.run_id))


class HistoryBound(WorkflowInstance):
    """One workflow, as another instance runs it."""

    def __init__(self, inner: WorkflowInstance, is_closed: Callable[[], bool] = lambda: False) -> None:
        self._inner = inner
        self._is_closed = is_closed
        self._task: tuple[int, int] | None = None
        """When the last task began, in seconds and nanoseconds."""
        self._length = 0
        """Of the history up to there, in events."""
        self._quiet: int | None = None
        """How many tasks have decided nothing; None: the run began before they were counted."""

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """Let the workflow take in what happened, or refuse what no task has brought yet."""
        if all(job.WhichOneof("variant") in _NOT_EVENTS for job in act.jobs):
            return self._inner.activate(act)
        task = (act.timestamp.seconds, act.timestamp.nanos)
        # Within one task the history does not grow; while replaying, tasks are read as they were.
        early = not act.is_replaying and task == self._task and act.history_length > self._length
        if early and not self._is_closed():
            refused = WorkflowActivationCompletion(run_id=act.run_id)
            refused.failed.failure.message = ASKED_TOO_EARLY
            return refused
        self._task, self._length = task, act.history_length
        completion = self._inner.activate(act)
        if completion.HasField("successful"):
            self._count(act, completion)
        return completion

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
