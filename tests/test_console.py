"""The status and the report, without a workflow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from coalmine import console
from coalmine.records import (
    Action,
    CanaryInput,
    Cause,
    Diagnosis,
    Link,
    MetricVerdict,
    Outcome,
    Phase,
)
from coalmine.rollout import RolloutState
from tests.test_commands import NOW, make_state
from tests.test_details_page import look
from tests.workflows.specs import make_spec, make_submission


@pytest.mark.parametrize(
    ("outcome", "cause", "code"),
    [
        (Outcome.PROMOTED, None, 0),
        (Outcome.FAILED, Cause.ERROR, 1),
        (Outcome.ROLLED_BACK, Cause.ANALYSIS, 3),
        (Outcome.ROLLED_BACK, Cause.DEADLINE, 3),
        (Outcome.ROLLED_BACK, Cause.HUMAN, 4),
        (Outcome.REJECTED, Cause.HUMAN, 4),
        (Outcome.BLOCKED, None, 5),
        (Outcome.SUPERSEDED, None, 9),
    ],
)
def test_exit_codes(outcome: Outcome, cause: Cause | None, code: int) -> None:
    state = make_state(Phase.CLOSED, outcome=outcome, cause=cause, reason="why", closed_at=NOW)
    assert console.status(state).exit == code
    assert console.report(state).exit == code
    assert console.headline(state).startswith(f"checkout 1.0.0 → 1.1.0: {outcome} at")


@pytest.mark.parametrize(("advice", "code"), [(Action.PROMOTE, 0), (Action.ROLL_BACK, 3), (Action.HOLD, 8), (None, 4)])
def test_exit_codes_of_advice(advice: Action | None, code: int) -> None:
    state = RolloutState.begin(make_submission(make_spec(), advise=True), "id", "run", NOW)
    assert console.status(state).exit is None
    state.phase, state.advice = Phase.CLOSED, advice
    assert console.status(state).exit == code


def test_a_state_survives_json() -> None:
    wide = MetricVerdict(metric="errors", verdict="inconclusive", interval=(0.0, float("inf")), effect=float("inf"))
    state = make_state(verdicts=[wide], step_extra=1.5, next_look=NOW + timedelta(seconds=10), log=[look(1, "x")])
    carried = CanaryInput(service="a", environment="b", carried=state.model_dump(mode="json")).model_dump_json()
    read: dict[str, Any] | None = CanaryInput.model_validate_json(carried).carried
    assert RolloutState.model_validate(read) == state


def test_the_status_and_the_report_say_what_points_to_the_cause() -> None:
    found = Diagnosis(sentence="errors: route pay | carries it all", links=[Link(name="logs", url="https://x/")])
    state = make_state(diagnosis=found)
    assert console.status(state).diagnosis == found
    assert console.report(state).diagnosis == found
    assert console.diagnosis_text(found) == "errors: route pay | carries it all\nlogs: https://x/"
