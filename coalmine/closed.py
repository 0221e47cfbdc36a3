"""The status of a rollout whose workflow is closed: from its report, or from what the server still knows."""

from __future__ import annotations

from temporalio.client import WorkflowExecutionStatus

from coalmine.executions import Execution
from coalmine.exit_codes import EXIT
from coalmine.records import Cause, DecisionLog, Outcome, Phase, Refusal, RolloutReport, RolloutStatus
from coalmine.search_attributes import ENVIRONMENT, OUTCOME, SERVICE, VERSION

_WITHOUT_REPORT = {
    WorkflowExecutionStatus.CANCELED: (
        Outcome.ROLLED_BACK, Cause.HUMAN, 4, "the workflow was cancelled: the route was restored before it ended",
    ),
    WorkflowExecutionStatus.TERMINATED: (
        Outcome.FAILED, Cause.ERROR, 1,
        "the workflow was terminated: nothing was restored, and traffic may still be split; look at the route",
    ),
    WorkflowExecutionStatus.TIMED_OUT: (
        Outcome.FAILED, Cause.ERROR, 1, "the workflow timed out: nothing was restored; look at the route",
    ),
    WorkflowExecutionStatus.FAILED: (
        Outcome.FAILED, Cause.ERROR, 1, "the workflow failed: coalmine history tells where",
    ),
}  # fmt: skip


def status_of_report(report: RolloutReport, execution: Execution) -> RolloutStatus:
    """What the report of a closed rollout says, in the form of a status; steps and gates are over."""
    backend_share = max(report.weights.values(), default=0.0)
    return RolloutStatus(
        phase=Phase.CLOSED,
        outcome=report.outcome,
        cause=report.cause,
        exit=report.exit,
        reason=report.reason,
        service=report.service,
        environment=report.environment,
        region=report.region,
        version=report.version,
        baseline_version=report.baseline_version,
        rollout_id=report.rollout_id,
        workflow_id=execution.id,
        run_id=execution.run_id,
        by=report.by,
        advise=report.advice is not None,
        weights=report.weights,
        canary_weight=backend_share if report.outcome is Outcome.PROMOTED else 0.0,
        looks=report.looks,
        verdicts=report.verdicts,
        diagnosis=report.diagnosis,
        canary_requests=report.canary_requests,
        restored=True if report.seconds_to_restore is not None else None,
        started_at=report.started_at,
        closed_at=report.closed_at or execution.close_time,
    )


def log_of_report(report: RolloutReport) -> DecisionLog:
    """The decisions a report carries, and the refused inputs among them."""
    first = report.decisions[0].sequence if report.decisions else 1
    refused = [
        Refusal(
            at=entry.at,
            verb=str(entry.data.get("verb", "")),
            reason=entry.reason,
            by=entry.by,
            input=str(entry.data.get("input", "")),
        )
        for entry in report.decisions
        if entry.kind == "refused"
    ]
    return DecisionLog(entries=report.decisions, refused=refused, dropped=max(first - 1, 0))


def status_of_closed(execution: Execution) -> RolloutStatus:
    """What can be said of a workflow that ended without a report when no worker answers for it."""
    attributes = execution.typed_search_attributes
    parts = execution.id.split("/")
    status = execution.status or WorkflowExecutionStatus.FAILED
    cause: Cause | None
    outcome, cause, code, reason = _WITHOUT_REPORT.get(status, _WITHOUT_REPORT[WorkflowExecutionStatus.FAILED])
    restored = True if status is WorkflowExecutionStatus.CANCELED else None
    named = _named(attributes.get(OUTCOME))
    if named is not None and (named, status) != (Outcome.ROLLED_BACK, WorkflowExecutionStatus.CANCELED):
        # It had come to its end, and said so: how its workflow was closed then changes nothing any more.
        outcome, cause, code = named, None, EXIT.get(named, 3)
        after = "during its rollback window or later" if named is Outcome.PROMOTED else "after that"
        reason = f"{named}; the workflow was {status.name.lower()} {after}"
        restored = None if named in (Outcome.PROMOTED, Outcome.BLOCKED) else True
    return RolloutStatus(
        phase=Phase.CLOSED,
        outcome=outcome,
        cause=cause,
        exit=code,
        reason=reason,
        service=attributes.get(SERVICE) or (parts[2] if len(parts) > 2 else execution.id),
        environment=attributes.get(ENVIRONMENT) or (parts[1] if len(parts) > 2 else ""),
        region=parts[3] if len(parts) > 3 else None,
        version=attributes.get(VERSION) or "",
        workflow_id=execution.id,
        run_id=execution.run_id,
        restored=restored,
        started_at=execution.start_time,
        closed_at=execution.close_time,
    )


def _named(shown: str | None) -> Outcome | None:
    """The outcome that a search attribute names; while a cancelled rollout goes back, it names none yet."""
    return Outcome(shown) if shown in set(Outcome) else None


def ended(execution: Execution, last: RolloutStatus) -> RolloutStatus:
    """The last state of a workflow that ended without a report, marked as over where it could not do so itself."""
    if last.phase is Phase.CLOSED:
        return last
    known = status_of_closed(execution)
    return last.model_copy(
        update={
            "phase": Phase.CLOSED,
            "outcome": known.outcome,
            "cause": known.cause,
            "exit": known.exit,
            "reason": known.reason,
            "closed_at": known.closed_at,
            "restored": known.restored,
            "unmet": [],
            "can_send": [],
            "gate": None,
            "next_look_at": None,
            "step_ends_at": None,
            "deadline_at": None,
        }
    )
