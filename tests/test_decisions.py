"""What follows from a look, without a workflow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.decisions import (
    DRIFT,
    INCONCLUSIVE,
    MOST_DRIFTS,
    NO_DATA,
    decide,
    guardrail_failures,
    next_deadline,
    restores_drift,
)
from coalmine.gates import Approval
from coalmine.records import Action, Drift, Finding, MetricVerdict, Phase
from coalmine.rollout import HeldState, RolloutState
from tests.test_commands import NOW, SPEC, findings, make_state, verdicts
from tests.workflows.specs import make_spec, make_submission

LATER = NOW + timedelta(minutes=2)
PASS = MetricVerdict(metric="errors", verdict="pass", no_harm=True)
FAIL = MetricVerdict(metric="errors", verdict="fail")
SILENT = MetricVerdict(metric="errors", verdict="no_data")
UNSURE = MetricVerdict(metric="errors", verdict="inconclusive")


def open_gate(state: RolloutState) -> RolloutState:
    state.gates[0].approvals = [Approval(by=by, attempt=1, at=NOW) for by in ("ana", "bo")]
    return state


def make_last(**changes: Any) -> RolloutState:
    return make_state(step=1, **changes)


@pytest.mark.parametrize(
    ("found", "action"),
    [
        (Finding.CRASH, Action.ROLL_BACK),
        (Finding.HARM, Action.ROLL_BACK),
        (Finding.SAMPLE_RATIO, Action.HOLD),
        (Finding.HARM_UNSURE, Action.HOLD),
        (Finding.SIGNAL, Action.HOLD),
        (Finding.NO_DATA, Action.CONTINUE),
        (Finding.UNDECIDED, Action.CONTINUE),
        (Finding.NO_HARM, Action.PROMOTE),
    ],
)
def test_findings_at_the_end_of_the_last_step(found: Finding, action: Action) -> None:
    verdict = {Finding.NO_HARM: PASS, Finding.NO_DATA: SILENT, Finding.HARM: FAIL}.get(found, UNSURE)
    state = make_last(finding=found, finding_reason="why", verdicts=[verdict], looks=1)
    decision = decide(state, LATER)
    assert decision.action is action
    assert decision.reason


def test_an_undecided_step_advances_but_is_never_promoted() -> None:
    found: dict[str, Any] = {"finding": Finding.UNDECIDED, "verdicts": [UNSURE], "looks": 1}
    assert decide(open_gate(make_state(**found)), LATER).action is Action.ADVANCE
    assert decide(make_state(**found), LATER).unmet == ("gate 'go' waits for approval",)
    assert decide(make_last(**found), LATER).unmet == ("no harm is not shown yet for errors",)


@pytest.mark.parametrize(("least", "action"), [(27.2, Action.CONTINUE), (1.1, Action.ADVANCE), (0.4, Action.ADVANCE)])
def test_a_guardrail_that_leans_to_harm_keeps_the_step(least: float, action: Action) -> None:
    leaning = UNSURE.model_copy(update={"interval": (least, 400.0), "margin": 1.1})
    state = open_gate(make_state(finding=Finding.UNDECIDED, verdicts=[leaning], looks=1))
    assert decide(state, LATER).action is action
    for other in ({"role": "signal"}, {"forgiven": True}):
        changed = state.model_copy(update={"verdicts": [leaning.model_copy(update=other)]})
        assert decide(changed, LATER).action is Action.ADVANCE


def test_what_a_judge_of_before_said_is_decided_as_it_was() -> None:
    """Its record says nothing of what is forgiven: a replay must keep the step that the history kept."""
    recorded = UNSURE.model_copy(update={"interval": (3.6, 400.0), "margin": 1.1, "log_e_harm": -0.5})
    read = MetricVerdict.model_validate(recorded.model_dump(mode="json", exclude={"forgiven"}))
    state = open_gate(make_state(finding=Finding.UNDECIDED, verdicts=[read], looks=1))
    assert decide(state, LATER).unmet == ("guardrail 'errors' leans to harm: at least x3.60, margin x1.1",)


def test_an_acknowledged_hold_does_not_hold_again() -> None:
    state = make_state(finding=Finding.SIGNAL, verdicts=[PASS], looks=1, acknowledged=[Finding.SIGNAL])
    assert decide(open_gate(state), LATER).action is Action.ADVANCE


def test_a_metric_called_ledger_counts_for_the_extension() -> None:
    silent = MetricVerdict(metric="ledger-errors", verdict="no_data")
    state = make_last(finding=Finding.UNDECIDED, verdicts=[silent], looks=1)
    over = NOW + timedelta(minutes=1) + state.spec.policy.max_extension
    assert decide(state, over - timedelta(seconds=1)).action is Action.CONTINUE
    assert decide(state, over).finding == INCONCLUSIVE


@pytest.mark.parametrize("action", ["hold", "roll_back"])
def test_the_limit_of_silence(action: str) -> None:
    spec = make_spec(policy={"look": "10s", "no_data": action, "no_data_limit": "2m"})
    state = RolloutState.begin(make_submission(spec), "id", "run", NOW)
    state.phase, state.step, state.step_started = Phase.STEPPING, 0, NOW
    state.finding, state.verdicts, state.no_data_since = Finding.NO_DATA, [SILENT], NOW
    assert decide(state, NOW + timedelta(seconds=119)).action is Action.CONTINUE
    decision = decide(state, NOW + timedelta(seconds=120))
    assert (decision.action, decision.finding) == (Action(action), NO_DATA)


def test_a_failing_signal_is_no_guardrail() -> None:
    slow = MetricVerdict(metric="latency", verdict="fail", role="signal")
    assert guardrail_failures([slow], Finding.SIGNAL) == []
    assert guardrail_failures([slow], Finding.HARM) == ["the guardrails together"]
    assert guardrail_failures([FAIL], Finding.HARM_UNSURE) == []


@st.composite
def any_state(draw: st.DrawFn) -> RolloutState:
    phase = draw(st.sampled_from([Phase.STEPPING, Phase.GATED, Phase.HELD, Phase.BAKING]))
    state = make_state(
        phase,
        step=draw(st.sampled_from([0, 1])),
        finding=draw(findings),
        finding_reason="why",
        verdicts=draw(verdicts),
        looks=draw(st.integers(0, 3)),
        paused=draw(st.booleans()),
        acknowledged=draw(st.lists(st.sampled_from([Finding.SIGNAL, Finding.HARM_UNSURE, Finding.SAMPLE_RATIO]))),
        no_data_since=draw(st.none() | st.just(NOW)),
        step_extra=draw(st.floats(0, 10_000)),
    )
    return open_gate(state) if draw(st.booleans()) else state


@given(any_state(), st.integers(0, 20_000))
@settings(max_examples=500, deadline=None)
def test_going_up_needs_everything(state: RolloutState, seconds: int) -> None:
    now = NOW + timedelta(seconds=seconds)
    before = state.model_copy(deep=True)
    decision = decide(state, now)
    assert state == before
    assert decision.reason
    guardrails = [verdict.verdict for verdict in state.verdicts if verdict.role == "guardrail"]
    if state.finding in (Finding.HARM, Finding.CRASH):
        assert decision.action is Action.ROLL_BACK
    if decision.action in (Action.ADVANCE, Action.PROMOTE):
        assert "fail" not in guardrails
        assert "no_data" not in guardrails
        assert state.finding not in (None, Finding.NO_DATA, Finding.SAMPLE_RATIO)
        assert not state.paused
        ends = state.bake_ends if state.stage_is_bake else state.step_ends
        assert ends is not None
        assert now >= ends
    if decision.action is Action.PROMOTE and not state.stage_is_bake:
        assert state.is_last_step
        assert state.finding is Finding.NO_HARM
    if decision.action is Action.ADVANCE:
        gate = state.gate_before(state.step + 1)
        assert gate is None or state.gate_open(gate)
    assert (decision.action is Action.CONTINUE) == bool(decision.unmet)


def test_the_next_deadline_is_the_nearest() -> None:
    assert next_deadline(make_state()) is None
    gated = make_state(Phase.GATED)
    assert next_deadline(gated) == gated.gates[0].deadline
    held = make_state(Phase.HELD)
    held.bake_ends = NOW
    assert held.held is not None
    held.held = HeldState(**{**held.held.model_dump(), "resume_to": Phase.BAKING})
    assert next_deadline(held) == NOW
    assert SPEC.steps


class TestDrift:
    """Weights that somebody else changed."""

    OTHER = Drift(weights={"checkout-v1": 50.0, "checkout-v2": 50.0}, generation=4)

    def drifted(self, policy: str, **changes: Any) -> RolloutState:
        state = make_last(finding=Finding.NO_HARM, finding_reason="why", verdicts=[PASS], looks=1, drift=self.OTHER)
        state.submission = make_submission(make_spec(policy={"look": "10s", "drift": policy}))
        return state.model_copy(update=changes)

    def test_a_policy_that_asks_holds_before_anything_goes_up(self) -> None:
        decision = decide(self.drifted("hold", drifts=1), LATER)
        assert (decision.action, decision.finding) == (Action.HOLD, DRIFT)
        assert "checkout-v1 50 %, checkout-v2 50 % instead of" in decision.reason

    def test_a_policy_that_restores_does_not_hold(self) -> None:
        assert decide(self.drifted("restore", drifts=1), LATER).action is not Action.HOLD

    def test_harm_comes_first(self) -> None:
        state = self.drifted("hold", drifts=1, finding=Finding.HARM, verdicts=[FAIL])
        assert decide(state, LATER).action is Action.ROLL_BACK

    @given(st.sampled_from(["hold", "restore"]), st.integers(1, 10), st.booleans())
    @settings(deadline=None)
    def test_it_is_written_over_or_asked_about(self, policy: str, drifts: int, resumed: bool) -> None:
        state = self.drifted(policy, drifts=drifts, acknowledged=[DRIFT] if resumed else [])
        writes = restores_drift(state)
        assert writes == (resumed or (policy == "restore" and drifts <= MOST_DRIFTS))
        assert (decide(state, LATER).action is Action.HOLD) == (not writes)
