"""What people say, without a workflow: refusals, effects, and that the document tells the truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine import command_input, commands
from coalmine.records import CommandInput, Finding, MetricVerdict, Phase, Verb
from coalmine.rollout import HeldState, Order, RolloutState
from tests import verb_table
from tests.workflows.specs import make_spec, make_submission

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANA = CommandInput(by="ana")
SPEC = make_spec(
    steps=[
        {"weight": 10, "for": "1m"},
        {"weight": 50, "for": "1m", "gate": {"name": "go", "approval": {"by": ["sre"], "count": 2}}},
    ],
    people={"sre": ["ana", "bo"]},
)


def make_state(phase: Phase = Phase.STEPPING, **changes: Any) -> RolloutState:
    state = RolloutState.begin(make_submission(SPEC), "canary/test/checkout", "run", NOW)
    state.phase, state.step, state.step_started = phase, 0, NOW
    if phase is Phase.GATED:
        state.gates[0].waiting_since, state.gates[0].deadline = NOW, NOW + timedelta(hours=4)
    if phase is Phase.HELD:
        state.held = HeldState(
            finding="signal", reason="slow", since=NOW, deadline=NOW + timedelta(hours=4), resume_to=Phase.STEPPING
        )
    if phase is Phase.BAKING:
        state.bake_ends = NOW + timedelta(hours=1)
    if phase is Phase.WINDOW:
        state.window_ends = NOW + timedelta(hours=1)
    for name, value in changes.items():
        setattr(state, name, value)
    return state


def test_the_document_shows_the_table() -> None:
    assert verb_table.DOCUMENT.read_text(encoding="utf-8") == verb_table.render(), "run: python -m tests.verb_table"


@pytest.mark.parametrize("phase", [Phase.STEPPING, Phase.GATED, Phase.HELD, Phase.BAKING, Phase.WINDOW])
def test_nobody_extends_beyond_the_calendar(phase: Phase) -> None:
    state = make_state(phase)
    longest = CommandInput.model_validate({"by": "ana", "for": "365d"})
    for _ in range(9_000):
        if (reason := commands.refusal(state, Verb.EXTEND, longest)) is not None:
            break
        commands.carry_out(state, Verb.EXTEND, longest, NOW)
    assert reason == "it was extended by more than 3650d already"


def test_an_open_gate_keeps_no_further_approvals() -> None:
    state = make_state()
    for name in ("ana", "bo"):
        commands.carry_out(state, Verb.APPROVE, CommandInput(by=name, gate="go"), NOW)
    for name in ("cy", "di", "eva"):
        said = commands.carry_out(state, Verb.APPROVE, CommandInput(by=name, gate="go"), NOW)
        assert said == "gate 'go' is open already"
    assert [given.by for given in state.gates[0].approvals] == ["ana", "bo"]


@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize("phase", list(Phase))
def test_the_table_is_what_is_refused(verb: Verb, phase: Phase) -> None:
    state = make_state(phase)
    if phase is Phase.ADMITTING:
        state.step = -1
    reason = commands.refusal(state, verb, ANA)
    cell = verb_table.TABLE[verb][phase]
    if cell.startswith(verb_table.NO):
        assert reason is not None
        assert cell.removeprefix(verb_table.NO) in reason
    else:
        assert reason is None


phases = st.sampled_from(list(Phase))
findings = st.none() | st.sampled_from(list(Finding))
verdicts = st.lists(
    st.builds(
        MetricVerdict,
        metric=st.sampled_from(["errors", "latency"]),
        verdict=st.sampled_from(["pass", "fail", "inconclusive", "no_data"]),
        role=st.sampled_from(["guardrail", "signal"]),
    ),
    max_size=3,
)
states = st.builds(
    lambda phase, paused, order, finding, verdicts, step: make_state(
        phase,
        paused=paused,
        paused_at=NOW if paused else None,
        order=Order(verb=order, by="bo") if order else None,
        finding=finding,
        verdicts=verdicts,
        step=step,
    ),
    phases,
    st.booleans(),
    st.none() | st.sampled_from([Verb.ROLLBACK, Verb.REJECT, Verb.PROMOTE]),
    findings,
    verdicts,
    st.sampled_from([-1, 0, 1]),
)


@given(states)
@settings(max_examples=200, deadline=None)
def test_can_send_agrees_with_refusal(state: RolloutState) -> None:
    shown = set(commands.can_send(state))
    taken = {verb for verb in Verb if commands.refusal(state, verb, ANA) is None}
    if state.phase is Phase.ROLLING_BACK:
        assert shown == set()
        assert taken == {Verb.ROLLBACK}
    else:
        # Paused again it is taken, and changes nothing.
        assert shown == taken - ({Verb.PAUSE} if state.paused else set())


@given(states, st.sampled_from(list(Verb)), st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_carrying_out_keeps_the_state_whole(state: RolloutState, verb: Verb, later: int) -> None:
    before = state.model_copy(deep=True)
    if commands.refusal(state, verb, ANA) is not None:
        assert state == before
        return
    message = commands.carry_out(state, verb, ANA, NOW + timedelta(seconds=later))
    assert message
    assert RolloutState.model_validate(state.model_dump(mode="json")) == state
    # Nothing but a word to go up moves the rollout; those that go back are orders.
    assert state.weights == before.weights
    assert state.step == before.step
    if verb in (Verb.ROLLBACK, Verb.REJECT) and before.phase is not Phase.ROLLING_BACK:
        assert state.order is not None
        assert state.order.verb in (Verb.ROLLBACK, Verb.REJECT)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["by", "reason", "gate", "attempt", "for", "x"]), inner)
        ),
        max_leaves=8,
    ),
    st.sampled_from(list(Verb)),
)
@settings(max_examples=150, deadline=None)
def test_any_json_is_read_or_refused_with_a_short_reason(data: Any, verb: Verb) -> None:
    reason, command = "", None
    try:
        command = command_input.decode(verb, data)
    except ValueError as error:
        reason = str(error)
    assert (command is None) == (0 < len(reason) < 1_000)
    if command is not None:
        assert command.by.strip() == command.by != ""


def test_the_first_rollback_stands_and_overrides_a_promotion() -> None:
    state = make_state()
    commands.carry_out(state, Verb.PROMOTE, ANA, NOW)
    assert "ana ordered promote just before" in (commands.refusal(state, Verb.PAUSE, ANA) or "")
    commands.carry_out(state, Verb.ROLLBACK, CommandInput(by="bo"), NOW)
    assert commands.carry_out(state, Verb.ROLLBACK, CommandInput(by="cy"), NOW) == "it is rolling back already"
    assert (state.order.verb, state.order.by) == (Verb.ROLLBACK, "bo") if state.order else None


@pytest.mark.parametrize("finding", [Finding.HARM, Finding.CRASH])
def test_promote_is_refused_while_harm_stands(finding: Finding) -> None:
    state = make_state(finding=finding)
    assert "a guardrail fails (the guardrails together)" in (commands.refusal(state, Verb.PROMOTE, ANA) or "")


def test_extending_before_the_first_step_is_refused() -> None:
    assert commands.refusal(make_state(step=-1), Verb.EXTEND, ANA) == "no step has begun yet"


@pytest.mark.parametrize("phase", [Phase.PROMOTING, Phase.BAKING, Phase.WINDOW])
def test_a_gate_that_was_jumped_over_waits_no_longer(phase: Phase) -> None:
    state = make_state(phase)
    state.gates[0].waiting_since, state.gates[0].deadline = NOW, NOW + timedelta(hours=4)
    assert state.waiting_gate() is None
    assert "no gate is waiting now" in (commands.refusal(state, Verb.APPROVE, ANA) or "")
    named = commands.refusal(state, Verb.APPROVE, CommandInput(by="ana", gate="go"))
    assert named == f"gate 'go' was passed already: the rollout is {phase}"


def test_an_approval_for_a_gate_that_was_passed() -> None:
    state = make_state(step=1)
    assert "was passed already" in (commands.refusal(state, Verb.APPROVE, CommandInput(by="ana", gate="go")) or "")


def test_a_late_resume_gives_the_whole_extension_again() -> None:
    state = make_state(Phase.HELD)
    assert state.held is not None
    state.held.finding = "inconclusive"
    late = NOW + timedelta(hours=3)
    commands.carry_out(state, Verb.RESUME, ANA, late)
    assert state.step_ends == late


def test_resuming_a_paused_bake_moves_its_end() -> None:
    state = make_state(Phase.BAKING)
    commands.carry_out(state, Verb.PAUSE, ANA, NOW)
    commands.carry_out(state, Verb.RESUME, ANA, NOW + timedelta(minutes=10))
    assert state.bake_ends == NOW + timedelta(hours=1, minutes=10)
