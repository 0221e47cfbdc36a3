"""The page and the status, without a workflow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine import console
from coalmine.commands import can_send
from coalmine.markdown import url_length
from coalmine.records import (
    Action,
    CanaryInput,
    Cause,
    Diagnosis,
    LedgerEntry,
    Link,
    MetricVerdict,
    Outcome,
    Phase,
    Refusal,
)
from coalmine.rollout import RolloutState
from tests.test_commands import NOW, make_state, states
from tests.workflows.world import make_spec, make_submission


def look(number: int, reason: str) -> LedgerEntry:
    data = {"look": number, "weight": 10, "canary_requests": 1_000, "action": "continue"}
    return LedgerEntry(kind="look", rollout_id="a/b/1/1", sequence=number, at=NOW, reason=reason, data=data)


@given(states, st.text() | st.text(min_size=1).map(lambda text: text * 2_000), st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_the_page_is_bounded_and_says_what_can_be_sent(state: RolloutState, text: str, many: int) -> None:
    state.reason = state.history_note = text
    state.log = [look(number, text) for number in range(many)]
    state.verdicts = [MetricVerdict(metric=f"metric-{n}" * 3, verdict="pass", sentence=text) for n in range(many)]
    state.refused = [Refusal(at=NOW, verb="dance", reason=text, by=text[:80], input=text[:200])] * min(many, 20)
    state.unmet = [text] * min(many, 5)
    state.finding_reason = text
    page = console.page(state)
    assert len(page) <= console.PAGE_LIMIT
    assert page.startswith("### checkout 1.0.0 → 1.1.0: ")
    for verb in can_send(state):
        assert f"`{verb}`" in page


def test_text_of_people_does_not_break_a_table() -> None:
    state = make_state(log=[look(1, "a | b\nc")], looks=1)
    row = next(line for line in console.page(state).splitlines() if line.startswith("| 1"))
    assert row.count("|") == 6
    assert row.endswith("| continue: a / b c |")


def test_looks_give_way_where_the_page_would_not_fit_into_a_url() -> None:
    reason = "…" * 100
    state = make_state(log=[look(number, reason) for number in range(6)], looks=6, history_note="…" * 200)
    state.unmet = ["…" * 250]
    page = console.page(state)
    assert url_length(page) <= console.URL_LIMIT
    assert len([line for line in page.splitlines() if "continue: …" in line]) == 3


def test_the_page_of_a_waiting_gate() -> None:
    page = console.page(make_state(Phase.GATED))
    assert "**gate `go` waits** for 2 of sre until 2026-01-01 16:00:00 UTC" in page
    assert "`◐ 10 %  ○ 50 %  ○ 100 %`" in page
    assert "**You can send:** `approve` `reject` `pause` `extend` `promote` `rollback`" in page


def test_the_page_of_a_hold() -> None:
    assert "**held**: slow; roll back at 2026-01-01 16:00:00 UTC" in console.page(make_state(Phase.HELD))


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


def test_the_page_and_the_status_say_what_points_to_the_cause() -> None:
    found = Diagnosis(sentence="errors: route pay | carries it all", links=[Link(name="logs", url="https://x/")])
    state = make_state(diagnosis=found)
    assert "**points to the cause:** errors: route pay / carries it all" in console.page(state)
    assert console.status(state).diagnosis == found
    assert console.report(state).diagnosis == found
    assert console.diagnosis_text(found) == "errors: route pay | carries it all\nlogs: https://x/"
