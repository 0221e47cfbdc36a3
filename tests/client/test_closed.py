"""What a closed rollout is called when it left no report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from coalmine.closed import ended, log_of_report, status_of_closed, status_of_report
from coalmine.executions import Execution
from coalmine.records import Cause, LedgerEntry, Outcome, Phase, RolloutReport, RolloutStatus


def execution(status: WorkflowExecutionStatus, **attributes: str) -> Execution:
    """What the server says of it."""
    pairs: list[SearchAttributePair[Any]] = [
        SearchAttributePair(SearchAttributeKey.for_keyword(f"Coalmine{name}"), value)
        for name, value in attributes.items()
    ]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Execution("canary/production/checkout/eu", "run", status, 0, TypedSearchAttributes(pairs), at, at)


@pytest.mark.parametrize(
    ("how", "outcome", "cause", "code"),
    [
        (WorkflowExecutionStatus.CANCELED, Outcome.ROLLED_BACK, Cause.HUMAN, 4),
        (WorkflowExecutionStatus.TERMINATED, Outcome.FAILED, Cause.ERROR, 1),
        (WorkflowExecutionStatus.TIMED_OUT, Outcome.FAILED, Cause.ERROR, 1),
        (WorkflowExecutionStatus.FAILED, Outcome.FAILED, Cause.ERROR, 1),
    ],
)
def test_without_a_report(how: WorkflowExecutionStatus, outcome: Outcome, cause: Cause, code: int) -> None:
    status = status_of_closed(execution(how, Version="1.42.0"))
    assert (status.phase, status.outcome, status.cause, status.exit) == (Phase.CLOSED, outcome, cause, code)
    assert (status.service, status.environment, status.region) == ("checkout", "production", "eu")
    assert status.version == "1.42.0"
    assert status.restored is (True if how is WorkflowExecutionStatus.CANCELED else None)


@pytest.mark.parametrize("how", [WorkflowExecutionStatus.CANCELED, WorkflowExecutionStatus.TERMINATED])
def test_promoted_stays_promoted(how: WorkflowExecutionStatus) -> None:
    status = status_of_closed(execution(how, Outcome="promoted"))
    assert (status.outcome, status.cause, status.exit, status.restored) == (Outcome.PROMOTED, None, 0, None)
    assert "during its rollback window" in status.reason


@pytest.mark.parametrize("how", [WorkflowExecutionStatus.CANCELED, WorkflowExecutionStatus.TERMINATED])
@pytest.mark.parametrize(
    ("named", "code"), [("rejected", 4), ("superseded", 9), ("failed", 1), ("blocked", 5), ("rolled_back", None)]
)
def test_what_it_had_said_at_its_end_stands(how: WorkflowExecutionStatus, named: str, code: int | None) -> None:
    status = status_of_closed(execution(how, Outcome=named))
    by_hand = 4 if how is WorkflowExecutionStatus.CANCELED else 3
    assert (status.outcome, status.exit) == (Outcome(named), code or by_hand)
    assert status.restored is (None if named == "blocked" else True)


def test_a_cancelled_one_that_goes_back_has_named_no_outcome_yet() -> None:
    status = status_of_closed(execution(WorkflowExecutionStatus.TERMINATED, Outcome="cancelled"))
    assert (status.outcome, status.restored) == (Outcome.FAILED, None)


def test_the_last_state_of_a_terminated_one_keeps_its_weights() -> None:
    last = RolloutStatus(
        phase=Phase.STEPPING, service="checkout", environment="production", weights={"a": 90, "b": 10}, unmet=["time"]
    )
    status = ended(execution(WorkflowExecutionStatus.TERMINATED), last)
    assert (status.phase, status.outcome, status.weights) == (Phase.CLOSED, Outcome.FAILED, {"a": 90, "b": 10})
    assert status.unmet == []
    own = last.model_copy(update={"phase": Phase.CLOSED, "outcome": Outcome.ROLLED_BACK})
    assert ended(execution(WorkflowExecutionStatus.CANCELED), own) is own


def test_a_report_in_the_form_of_a_status() -> None:
    report = RolloutReport(
        outcome=Outcome.ROLLED_BACK,
        cause=Cause.ANALYSIS,
        reason="harm",
        exit=3,
        service="checkout",
        environment="production",
        weights={"a": 100, "b": 0},
        seconds_to_restore=0.3,
    )
    status = status_of_report(report, execution(WorkflowExecutionStatus.COMPLETED))
    assert (status.phase, status.exit, status.restored, status.canary_weight) == (Phase.CLOSED, 3, True, 0)


def test_a_report_still_lists_what_was_refused() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    entries = [
        LedgerEntry(kind="shifted", rollout_id="r", sequence=3, at=at),
        LedgerEntry(
            kind="refused",
            rollout_id="r",
            sequence=4,
            at=at,
            reason="no gate waits",
            by="ana",
            data={"verb": "approve", "input": "{}"},
        ),
    ]
    log = log_of_report(RolloutReport(outcome=Outcome.PROMOTED, reason="", decisions=entries))
    assert [(refused.verb, refused.by, refused.reason, refused.input) for refused in log.refused] == [
        ("approve", "ana", "no gate waits", "{}")
    ]
    assert (log.dropped, len(log.entries)) == (2, 2)
