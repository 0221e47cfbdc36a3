"""What people can say to a rollout, in which phase, and what it does to its state.

One function for signals and updates: ``refusal`` says why not (and changes nothing), ``carry_out`` does it. What was
sent is read by ``coalmine.command_input``. Pure: time comes in as an argument. The table verb x phase is in
docs/commands.md.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from coalmine import approving
from coalmine.decisions import ASKING_FINDINGS, DRIFT, GATE, INCONCLUSIVE, guardrail_failures
from coalmine.gates import GateState, approval_of
from coalmine.records import CommandInput, Identity, Phase, Verb
from coalmine.rollout import Order, RolloutState
from coalmine.spec.durations import format_duration

DEFAULT_EXTENSION = timedelta(minutes=30)
LONGEST_LIFE = timedelta(days=3_650)
"""From start to deadline; extending for ever would leave the calendar, and fail the workflow's task."""


def refusal(state: RolloutState, verb: Verb, command: CommandInput, identity: Identity | None = None) -> str | None:
    """Why this verb means nothing now, or None when it can be carried out. ``identity``: who signed it."""
    if reason := approving.nameless(state, command.by):
        return reason
    phase = state.phase
    if phase is Phase.CLOSED:
        return f"the rollout is closed ({state.outcome or 'cancelled'}); nothing can be sent to it any more"
    if phase is Phase.ROLLING_BACK:
        return None if verb is Verb.ROLLBACK else "the rollout is rolling back; it ends when the route reads back right"
    if state.order is not None and verb is not Verb.ROLLBACK:
        return f"{state.order.by} ordered {state.order.verb} just before; it is being carried out"
    match verb:
        case Verb.ROLLBACK:
            return None
        case Verb.REJECT:
            return _refuse_reject(state, command)
        case Verb.APPROVE:
            return _refuse_approve(state, command, identity)
        case Verb.PAUSE:
            return _refuse_pause(state)
        case Verb.RESUME:
            return (
                None if state.paused or state.held else f"it is neither paused nor held, but {phase}: nothing to resume"
            )
        case Verb.EXTEND:
            return _refuse_extend(state)
        case Verb.PROMOTE:
            return _refuse_promote(state, command, identity)


def _refuse_reject(state: RolloutState, command: CommandInput) -> str | None:
    if not state.before_full:
        return f"the rollout is {state.phase}, past its gates: send rollback to take it back"
    return (_gate_or_reason(state, command)[1] or None) if command.gate or command.attempt else None


def _refuse_approve(state: RolloutState, command: CommandInput, identity: Identity | None) -> str | None:
    gate, reason = _gate_or_reason(state, command)
    if gate is None:
        return reason
    return approving.why_not(state, gate, command, identity)


def _gate_or_reason(state: RolloutState, command: CommandInput) -> tuple[GateState | None, str]:
    waiting = state.waiting_gate()
    names = ", ".join(f"'{gate.name}'" for gate in state.gates)
    if command.gate is None:
        if waiting is None:
            ahead = f"; gates of this rollout: {names} (name one to approve it early)" if names else ""
            return None, f"no gate is waiting now: the rollout is {state.phase}{ahead}"
        gate = waiting
    else:
        named = next((gate for gate in state.gates if gate.name == command.gate), None)
        if named is None:
            return None, f"there is no gate '{command.gate}'" + (
                f"; the gates are {names}" if names else " in this rollout"
            )
        gate = named
    if state.past_gates:
        return None, f"gate '{gate.name}' was passed already: the rollout is {state.phase}"
    if gate.step <= state.step:
        return None, f"gate '{gate.name}' was passed already: the rollout is at step {state.step + 1}"
    if command.attempt is not None and command.attempt != gate.attempt:
        return (
            None,
            f"gate '{gate.name}' is at attempt {gate.attempt}, not {command.attempt}: a stale decision opens nothing",
        )
    return gate, ""


def gate_meant(state: RolloutState, command: CommandInput) -> GateState | None:
    """The gate that an approve means, None where it would be refused."""
    return _gate_or_reason(state, command)[0]


def _refuse_pause(state: RolloutState) -> str | None:
    if state.phase in (Phase.GATED, Phase.STEPPING, Phase.BAKING):
        return None
    if state.phase is Phase.PROMOTING and state.promotion_waits:
        return None
    if state.phase is Phase.HELD:
        return "it is held and does not advance anyhow; extend moves its deadline"
    return f"there is nothing to pause while it is {state.phase}"


def _refuse_extend(state: RolloutState) -> str | None:
    ends, began = state.deadline() or state.step_ends, state.started_at
    added = timedelta(seconds=state.step_extra)
    if added > LONGEST_LIFE or (ends is not None and began is not None and ends - began > LONGEST_LIFE):
        return f"it was extended by more than {format_duration(LONGEST_LIFE)} already"
    if state.phase is Phase.STEPPING:
        return None if state.step >= 0 else "no step has begun yet"
    if state.phase in (Phase.HELD, Phase.BAKING, Phase.WINDOW):
        return None
    if state.phase is Phase.GATED:
        return None if state.deadline() else "no gate is waiting with a deadline"
    return f"there is nothing to extend while it is {state.phase}"


def _refuse_promote(state: RolloutState, command: CommandInput, identity: Identity | None) -> str | None:
    if not state.before_full:
        return f"the rollout is {state.phase}: all traffic is on the canary already"
    if state.phase is Phase.ADMITTING:
        return "the rollout is still being admitted"
    failing = guardrail_failures(state.verdicts, state.finding)
    if failing:
        return f"a guardrail fails ({', '.join(failing)}): promote is refused; roll back, or wait for it to recover"
    return approving.bars_promote(state, identity, command.reason)


def carry_out(
    state: RolloutState, verb: Verb, command: CommandInput, now: datetime, identity: Identity | None = None
) -> str:
    """Do what was said and tell what that means. Call it only when ``refusal`` is None."""
    match verb:
        case Verb.ROLLBACK:
            return _order(state, verb, command, "rolling back now")
        case Verb.REJECT:
            return _order(state, verb, command, "rejected: rolling back now")
        case Verb.PROMOTE:
            state.paused, state.paused_at = False, None
            return _order(state, verb, command, "promoting to 100 % now, past steps and gates")
        case Verb.APPROVE:
            return _approve(state, command, now, identity)
        case Verb.PAUSE:
            if state.paused:
                return "it was paused already"
            state.paused, state.paused_at = True, now
            stopped = "the bake's clock stops" if state.phase is Phase.BAKING else "it will not advance"
            return f"paused: {stopped}; looks go on, and a failing guardrail still rolls back"
        case Verb.RESUME:
            return _resume(state, now)
        case Verb.EXTEND:
            return _extend(state, command.for_ or DEFAULT_EXTENSION)


def _order(state: RolloutState, verb: Verb, command: CommandInput, meaning: str) -> str:
    if state.phase is Phase.ROLLING_BACK and verb is Verb.ROLLBACK and state.back_from and not state.at_once:
        state.at_once = True
        return "the rest goes back at once now, without further steps"
    if state.phase is Phase.ROLLING_BACK or (state.order is not None and state.order.verb is not Verb.PROMOTE):
        return "it is rolling back already"
    state.order = Order(verb=verb, by=command.by, reason=command.reason)
    return meaning


def _approve(state: RolloutState, command: CommandInput, now: datetime, identity: Identity | None) -> str:
    gate, reason = _gate_or_reason(state, command)
    if gate is None:
        raise AssertionError(f"approve was not refused: {reason}")
    if not command.break_glass and approving.said_already(state, gate, command, identity):
        return f"{command.by} approved gate '{gate.name}' already"
    if state.gate_open(gate):
        # Not kept: the state would grow with everyone who says so.
        return f"gate '{gate.name}' is open already"
    answer = approving.record(state, gate, command, identity, now)
    if answer is not None:
        return answer
    if state.gate_open(gate):
        if state.held is not None and state.held.finding == GATE:
            _resume(state, now)
            return f"gate '{gate.name}' is open, and the hold is over"
        return f"gate '{gate.name}' is open"
    wanted = approval_of(state.spec, gate.step).count
    return f"gate '{gate.name}' has {state.yeses(gate)} of {wanted} approvals"


def _resume(state: RolloutState, now: datetime) -> str:
    if state.held is not None:
        held, state.held = state.held, None
        state.phase = held.resume_to
        if held.finding in (*ASKING_FINDINGS, DRIFT) and held.finding not in state.acknowledged:
            state.acknowledged.append(held.finding)
        for gate in state.gates:
            late = gate.deadline is not None and gate.deadline <= now
            if gate.step == state.step + 1 and late and not state.gate_open(gate):
                gate.attempt, gate.waiting_since, gate.deadline = gate.attempt + 1, None, None
        if held.finding == INCONCLUSIVE:
            _extend_evidence_from(state, now)
        state.no_data_since = None
        _end_pause(state, now)
        return f"resumed: '{held.reason}' is taken note of; looks go on at {state.canary_share():g} %"
    _end_pause(state, now)
    return "resumed"


def _extend_evidence_from(state: RolloutState, now: datetime) -> None:
    """Give the step its whole extension once more, counted from now: looks may have been held for hours."""
    if state.step_ends is not None and state.step_ends < now:
        state.step_extra += (now - state.step_ends).total_seconds()


def _end_pause(state: RolloutState, now: datetime) -> None:
    if state.paused and state.paused_at is not None and state.phase is Phase.BAKING and state.bake_ends is not None:
        state.bake_ends += now - state.paused_at
    state.paused, state.paused_at = False, None


def _extend(state: RolloutState, longer: timedelta) -> str:
    text = format_duration(longer)
    if state.held is not None:
        state.held.deadline += longer
        return f"the hold ends {text} later"
    if state.phase is Phase.BAKING and state.bake_ends is not None:
        state.bake_ends += longer
        return f"the bake ends {text} later"
    if state.phase is Phase.WINDOW and state.window_ends is not None:
        state.window_ends += longer
        return f"the rollback window ends {text} later"
    gate = state.waiting_gate()
    if state.phase is Phase.GATED and gate is not None and gate.deadline is not None:
        gate.deadline += longer
        return f"gate '{gate.name}' waits {text} longer"
    state.step_extra += longer.total_seconds()
    return f"the step lasts {text} longer"


def can_send(state: RolloutState) -> list[Verb]:
    """The verbs that would change something now, from somebody entitled to them."""
    if state.phase is Phase.ROLLING_BACK:
        return []
    someone = CommandInput(by="*")
    elsewhere = (Verb.APPROVE, Verb.PAUSE) if state.paused else (Verb.APPROVE,)
    verbs = [verb for verb in Verb if verb not in elsewhere and refusal(state, verb, someone) is None]
    approvable = state.waiting_gate() is not None and state.order is None and state.phase is not Phase.CLOSED
    return ([Verb.APPROVE] if approvable else []) + verbs
