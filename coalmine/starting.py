"""Starting a rollout: one call that starts its workflow or finds it, and returns what it says to the submission."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError, RPCStatusCode

from coalmine.connection import asking, lacks_workflow, no_worker
from coalmine.errors import RefusedError, TemporalUnavailable
from coalmine.executions import describe
from coalmine.markdown import table
from coalmine.pollers import await_worker
from coalmine.records import (
    TASK_QUEUE,
    TASK_TIMEOUT,
    CanaryInput,
    Outcome,
    Phase,
    Receipt,
    RolloutReport,
    RolloutStatus,
    Submission,
    canary_id,
)
from coalmine.records.texts import check_writable
from coalmine.search_attributes import ENVIRONMENT, PHASE, SERVICE, VERSION, WEIGHT
from coalmine.spec.canary import CanarySpec
from coalmine.spec.durations import format_duration

SUMMARY_LIMIT = 200
DETAILS_LIMIT = 20_000
CLOSED_FIRST = "AcceptedUpdateCompletedWorkflow"
"""The type of the server's own failure of an update whose workflow closed before it had answered."""
_CALL = timedelta(seconds=10)


async def start(client: Client, submission: Submission, within: timedelta) -> Receipt:
    """Submit, and wait at most ``within`` for each of: a worker, its taking the submission, and admission.

    Raises:
        InputError: a text cannot be sent; names the field.
        RefusedError: the workflow refused the submission.
        TemporalUnavailable: no worker, or no server; nothing was started.
    """
    check_writable(submission)
    spec = submission.spec
    workflow_id = canary_id(spec.environment, spec.service, spec.region)
    promoted = await _promoted_before(client, workflow_id, spec.arms.canary.version, max(within, _CALL))
    if promoted is not None:
        return promoted
    await await_worker(client, f"{spec.service} cannot start", within)
    operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        "Canary",
        # With the submission, though the update carries it too: a reset to the first task may hear no update again, and
        # the run that it makes must know its release all the same.
        CanaryInput(service=spec.service, environment=spec.environment, region=spec.region, submission=submission),
        id=workflow_id,
        task_queue=TASK_QUEUE,
        result_type=RolloutReport,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        task_timeout=TASK_TIMEOUT,
        search_attributes=_attributes(spec),
        static_summary=summary(spec),
        static_details=details(submission),
    )
    try:
        async with (
            asyncio.timeout(within.total_seconds()),
            asking(f"the start of {workflow_id}", client.namespace, within),
        ):
            update: WorkflowUpdateHandle[Receipt] = await client.start_update_with_start_workflow(
                "submit",
                submission,
                start_workflow_operation=operation,
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                result_type=Receipt,
            )
    except WorkflowUpdateFailedError as error:
        raise RefusedError(str(error.cause)) from None
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        _end_if_cancelled()
        raise await _untaken(client, workflow_id, within) from None
    return await _admission(client, update, submission, within)


async def _admission(
    client: Client, update: WorkflowUpdateHandle[Receipt], submission: Submission, within: timedelta
) -> Receipt:
    try:
        async with asyncio.timeout(within.total_seconds()):
            return await update.result()
    except WorkflowUpdateFailedError as error:
        if getattr(error.cause, "type", None) != CLOSED_FIRST:
            raise RefusedError(str(error.cause)) from None
        return await _said_at_its_end(client, update, error)
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        _end_if_cancelled()
        # Taken, but a hook or the fleet keeps it: that is a rollout on its way, not a failure.
        return Receipt(
            disposition="started",
            workflow_id=update.workflow_id,
            run_id=update.workflow_run_id or "",
            version=submission.spec.arms.canary.version,
            phase=Phase.ADMITTING,
            reason=f"still being admitted after {within.total_seconds():g} s; it goes on",
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise TemporalUnavailable(f"the start of {update.workflow_id}: {error}") from error
        return await _said_at_its_end(client, update, error)


async def _said_at_its_end(client: Client, update: WorkflowUpdateHandle[Receipt], error: Exception) -> Receipt:
    """A rollout that is refused at once closes before its answer is fetched; its result says the same."""
    report = await _report(client.get_workflow_handle(update.workflow_id, run_id=update.workflow_run_id), _CALL)
    if report is None:
        # Nobody refused it: it was terminated, or reset, while it was admitted.
        raise TemporalUnavailable(
            f"{update.workflow_id} closed without an answer, or was reset; look at it with: coalmine status"
        ) from error
    return _receipt(report, update.workflow_id, update.workflow_run_id or "")


def _end_if_cancelled() -> None:
    """Be cancelled after all: the SDK turns a cancellation of its caller into an error like that of a time-out."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _receipt(report: RolloutReport, workflow_id: str, run_id: str) -> Receipt:
    promoted = report.outcome is Outcome.PROMOTED
    return Receipt(
        disposition="promoted" if promoted else "blocked" if report.outcome is Outcome.BLOCKED else "started",
        workflow_id=workflow_id,
        run_id=run_id,
        rollout_id=report.rollout_id,
        version=report.version,
        phase=Phase.CLOSED,
        checks=report.checks,
        reason=report.reason,
    )


def receipt_of(status: RolloutStatus, asked: Receipt) -> Receipt:
    """The answer to a submission, from what its rollout shows now."""
    blocked = status.outcome is Outcome.BLOCKED
    return asked.model_copy(
        update={
            "disposition": "blocked" if blocked else asked.disposition,
            "run_id": status.run_id,
            "rollout_id": status.rollout_id,
            "phase": status.phase,
            "reason": status.reason if blocked else status.history_note or "; ".join(status.unmet) or asked.reason,
        }
    )


async def _promoted_before(client: Client, workflow_id: str, version: str, within: timedelta) -> Receipt | None:
    """The outcome of the latest rollout, when it promoted this very version: a retry in CI starts nothing anew."""
    try:
        latest = await describe(client, workflow_id, None, within)
    except RPCError as error:
        if lacks_workflow(error):
            return None
        async with asking(f"workflow {workflow_id}", client.namespace, within):
            raise
    # One that is over and only hands its record over is open still: a moment later it says what became of it. A retry
    # in that moment would be sent away, or be blocked by what was promoted.
    known = latest.typed_search_attributes
    closing = latest.status is WorkflowExecutionStatus.RUNNING and known.get(PHASE) == str(Phase.CLOSED)
    if latest.status is not WorkflowExecutionStatus.COMPLETED and not (closing and known.get(VERSION) == version):
        return None
    report = await _report(client.get_workflow_handle(workflow_id, run_id=latest.run_id), within)
    if report is None or report.outcome is not Outcome.PROMOTED or report.version != version:
        return None
    receipt = _receipt(report, workflow_id, latest.run_id)
    return receipt.model_copy(update={"reason": f"{version} was promoted already: {report.reason}"})


async def _report(handle: WorkflowHandle[object, object], within: timedelta) -> RolloutReport | None:
    try:
        # The time-out of a call is one of each: of a run that nobody closes there is always a next one.
        async with asyncio.timeout(within.total_seconds()):
            result = await handle.result(follow_runs=False, rpc_timeout=_CALL)
        return RolloutReport.model_validate(result)
    except Exception:
        return None


async def _untaken(client: Client, workflow_id: str, within: timedelta) -> TemporalUnavailable:
    """No worker took the submission: end what was started for it, so that it does not come to life later."""
    seconds = f"{within.total_seconds():g} s"
    try:
        latest = await describe(client, workflow_id, None, _CALL)
        started_by_us = latest.status is WorkflowExecutionStatus.RUNNING and latest.history_length <= 2
        if started_by_us:
            pinned = client.get_workflow_handle(workflow_id, run_id=latest.run_id)
            await pinned.terminate(reason=f"no worker took it within {seconds}", rpc_timeout=_CALL)
    except RPCError:
        return TemporalUnavailable(f"{workflow_id}: no answer within {seconds}; look at it with: coalmine status")
    if started_by_us:
        return TemporalUnavailable(f"{no_worker(workflow_id)} (waited {seconds}; nothing was started)")
    return TemporalUnavailable(
        f"{workflow_id} did not answer within {seconds}; it may still take the submission: look with coalmine status"
    )


def _attributes(spec: CanarySpec) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(SERVICE, spec.service),
            SearchAttributePair(ENVIRONMENT, spec.environment),
            SearchAttributePair(VERSION, spec.arms.canary.version),
            SearchAttributePair(PHASE, str(Phase.ADMITTING)),
            SearchAttributePair(WEIGHT, 0),
        ]
    )


def summary(spec: CanarySpec) -> str:
    """One line for lists: ``checkout 1.41.0 → 1.42.0``."""
    return f"{spec.service} {spec.arms.baseline.version} → {spec.arms.canary.version}"[:SUMMARY_LIMIT]


def details(submission: Submission) -> str:
    """The plan as Markdown, for the Temporal UI."""
    spec = submission.spec
    who = f"{submission.by}{' (automated)' if submission.automated else ''}"
    where = f"{spec.environment}{f' / {spec.region}' if spec.region else ''}"
    lines = [
        f"**{summary(spec)}** in {where}, started by {who}" + (f": {submission.reason}" if submission.reason else ""),
        "*advice only: no traffic is shifted*" if submission.advise else "",
    ]
    steps = []
    for number, step in enumerate(spec.steps, 1):
        approval = step.gate.approval if step.gate else None
        gate = f"{approval.count} of {', '.join(approval.by) or 'anyone'}" if approval else ""
        steps.append((number, f"{step.weight:g} %", format_duration(step.for_), f"{step.min_requests:,}", gate))
    lines.append(table(("step:", "canary:", "at least:", "requests:", "gate"), steps))
    promotion = spec.promotion
    lines.append(
        f"then 100 %, watched for {format_duration(promotion.bake)}; the way back stays open for "
        f"{format_duration(promotion.rollback_window)}"
    )
    lines.append("Metrics: " + ", ".join(f"{metric.name} ({metric.kind}, {metric.role})" for metric in spec.metrics))
    text = "\n\n".join(line for line in lines if line)
    return text if len(text) <= DETAILS_LIMIT else text[: DETAILS_LIMIT - 2] + " …"
