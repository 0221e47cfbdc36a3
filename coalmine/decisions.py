"""Evidence and policy -> continue, advance, promote, hold or roll back. Pure; called by the workflow at every look.

The judge says what it found (``coalmine.analysis``); this says what follows from it for a rollout that stands where it
stands: its clock, its gates, its people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from coalmine.effects import leans_to_harm
from coalmine.ownership import weights_text
from coalmine.queueing import presses
from coalmine.records import Action, Cause, Drift, Finding, MetricVerdict
from coalmine.rollout import RolloutState
from coalmine.spec.durations import format_duration

INCONCLUSIVE = "inconclusive"
NO_DATA = "no_data"
GATE = "gate"
"""What a hold is for when a gate was not approved in time."""
DRIFT = "drift"
"""What a hold is for when somebody else changes the weights."""
MOST_DRIFTS = 3
"""Looks in a row that put drifted weights back, before a human is asked: somebody else keeps writing the route."""
MOST_SUSPECTS = 3
"""Metrics a diagnosis breaks down at most."""
HARM_FINDINGS = frozenset({Finding.CRASH, Finding.HARM})
ASKING_FINDINGS = frozenset({Finding.SAMPLE_RATIO, Finding.HARM_UNSURE, Finding.SIGNAL})
"""Findings upon which a human is asked, unless one has answered: a resume takes note of them, clocks start anew."""


@dataclass(frozen=True)
class Decision:
    """What to do now, why in one sentence, and what still stands in the way."""

    action: Action
    reason: str
    cause: Cause | None = None
    finding: str = ""
    unmet: tuple[str, ...] = ()


def guardrail_failures(verdicts: Sequence[MetricVerdict], finding: Finding | None) -> list[str]:
    """Guardrails that fail now, by name; the crash guard and a joint harm count as all of them together.

    Harm the judge is not sure of fails nobody: a human was asked, and may say promote.
    """
    if finding is Finding.HARM_UNSURE:
        return []
    failing = [verdict.metric for verdict in verdicts if verdict.role == "guardrail" and verdict.verdict == "fail"]
    if not failing and finding in HARM_FINDINGS:
        return ["the guardrails together"]
    return failing


def suspects(verdicts: Sequence[MetricVerdict]) -> list[str]:
    """Metrics worth breaking down, the most suspicious first: those that fail, else the one with most evidence."""
    ordered = sorted(verdicts, key=lambda verdict: (verdict.verdict != "fail", -verdict.log_e_harm))
    failing = [verdict.metric for verdict in ordered if verdict.verdict == "fail"]
    return failing[:MOST_SUSPECTS] or [verdict.metric for verdict in ordered[:1]]


def alarm_of(finding: Finding | None) -> Action:
    """What a finding leads to by itself, whatever clock and people say: roll back, hold, or go on."""
    if finding in HARM_FINDINGS:
        return Action.ROLL_BACK
    return Action.HOLD if finding in ASKING_FINDINGS else Action.CONTINUE


def decide(state: RolloutState, now: datetime) -> Decision:
    """What follows from the latest evidence at this moment; does not change the state.

    The order: a crash or harm, a wrong sample ratio or harm that is unsure, no data, signals, drift; then clock, gates
    and no harm.
    """
    alarm = _alarm(state, now)
    if alarm is not None and (alarm.action is Action.ROLL_BACK or state.held is None):
        return alarm
    if state.held is not None:
        return Decision(Action.CONTINUE, state.finding_reason or state.held.reason, unmet=("a human must resume it",))
    unmet = unmet_conditions(state, now)
    if not unmet:
        if state.stage_is_bake:
            return Decision(Action.PROMOTE, "the bake is over and no absolute limit was violated")
        if state.is_last_step:
            return Decision(Action.PROMOTE, state.finding_reason)
        return Decision(Action.ADVANCE, f"time and requests of step {state.step + 1} are met and no guardrail fails")
    pressing = presses(state)
    if pressing is not None and _bake_passes(state):
        version = pressing.submission.spec.arms.canary.version
        return Decision(Action.PROMOTE, f"the bake's objectives pass, and {version} supersedes: the bake ends early")
    overdue = _inconclusive(state, now)
    if overdue is not None:
        return overdue
    return Decision(Action.CONTINUE, state.finding_reason or "waiting for the first look", unmet=tuple(unmet))


def _alarm(state: RolloutState, now: datetime) -> Decision | None:
    policy, finding, why = state.spec.policy, state.finding, state.finding_reason
    if finding is not None and alarm_of(finding) is Action.ROLL_BACK:
        return Decision(Action.ROLL_BACK, why, Cause.ANALYSIS, finding)
    if finding in (Finding.SAMPLE_RATIO, Finding.HARM_UNSURE) and finding not in state.acknowledged:
        return Decision(Action.HOLD, why, Cause.ANALYSIS, finding)
    if state.no_data_since is not None and NO_DATA not in state.acknowledged:
        silent = now - state.no_data_since
        if silent >= policy.no_data_limit:
            reason = f"no data for {format_duration(silent)} (limit {format_duration(policy.no_data_limit)}): {why}"
            action = Action.HOLD if policy.no_data == "hold" else Action.ROLL_BACK
            return Decision(action, reason, Cause.DEADLINE, NO_DATA)
    if finding is Finding.SIGNAL and finding not in state.acknowledged:
        return Decision(Action.HOLD, why, Cause.ANALYSIS, finding)
    if state.drift is not None and not restores_drift(state):
        return Decision(Action.HOLD, drift_sentence(state, state.drift), Cause.HUMAN, DRIFT)
    return None


def restores_drift(state: RolloutState) -> bool:
    """Whether our own weights are written over what somebody else has left there: by policy, or a human said go on."""
    return DRIFT in state.acknowledged or (state.spec.policy.drift == "restore" and state.drifts <= MOST_DRIFTS)


def drift_sentence(state: RolloutState, drift: Drift) -> str:
    """What somebody else, or a run before a reset, made of our weights."""
    again = f", {state.drifts} looks in a row" if state.drifts > MOST_DRIFTS else ""
    there, ours = weights_text(drift.weights), weights_text(state.weights)
    return f"{who_changed(state, drift)}{again}: {there} instead of {ours}; resume writes these again"


def who_changed(state: RolloutState, drift: Drift) -> str:
    """Whose doing it is that the route shows other weights than ours, as far as it is known."""
    return "a run before the reset changed the route" if drift == state.left_before else "somebody changed the route"


def _bake_passes(state: RolloutState) -> bool:
    """All but the clock of the bake is met: every guardrail passes, in looks of the bake itself."""
    guardrails = [verdict for verdict in state.verdicts if verdict.role == "guardrail"]
    passing = bool(guardrails) and all(verdict.verdict == "pass" for verdict in guardrails)
    return state.stage_is_bake and not state.paused and passing and not _data_unmet(state)


def unmet_conditions(state: RolloutState, now: datetime) -> list[str]:
    """What stands between now and the next step (or the end of the bake), in words; empty = nothing."""
    unmet = evidence_unmet(state, now)
    gate = state.gate_before(state.step + 1)
    if not state.stage_is_bake and gate is not None and not state.gate_open(gate):
        unmet.append(f"gate '{gate.name}' waits for approval")
    if state.paused:
        unmet.append("it is paused")
    return unmet


def evidence_unmet(state: RolloutState, now: datetime) -> list[str]:
    """Clock, requests and data: everything but people."""
    unmet: list[str] = []
    step = state.current_step
    ends = state.bake_ends if state.stage_is_bake else state.step_ends
    if ends is not None and now < ends:
        what = "the bake" if state.stage_is_bake else f"step {state.step + 1}"
        unmet.append(f"{what} lasts until {ends:%H:%M:%S} UTC")
    if step is not None and not state.stage_is_bake and state.step_requests < step.min_requests:
        unmet.append(f"{state.step_requests:,} of {step.min_requests:,} canary requests in this step")
    return unmet + _data_unmet(state)


def _data_unmet(state: RolloutState) -> list[str]:
    if state.finding is None:
        return ["no look yet"] if not state.advise or state.looks == 0 else []
    last = state.is_last_step and not state.stage_is_bake
    return doubts(state.finding, state.finding_reason, state.verdicts, proof=last)


def doubts(finding: Finding, reason: str, verdicts: Sequence[MetricVerdict], *, proof: bool) -> list[str]:
    """What in the evidence stands in the way of the next step, in words; empty = nothing.

    Args:
        finding, reason, verdicts: of the latest look.
        proof: whether no harm must be shown, as promotion asks.
    """
    failing = [verdict.metric for verdict in verdicts if verdict.role == "guardrail" and verdict.verdict == "fail"]
    unmet = [f"guardrail '{name}' fails" for name in failing]
    silent = [verdict.metric for verdict in verdicts if verdict.role == "guardrail" and verdict.verdict == "no_data"]
    unmet += [f"'{name}' has no data" for name in silent]
    if not silent and finding is Finding.NO_DATA:
        unmet.append(reason)
    if finding is Finding.SAMPLE_RATIO:
        unmet.append("the sample ratio is off")
    unmet += [leaning for verdict in verdicts if (leaning := _leaning(verdict)) and verdict.metric not in failing]
    if proof and finding is not Finding.NO_HARM and not failing:
        unproven = [
            verdict.metric
            for verdict in verdicts
            if verdict.role == "guardrail" and verdict.verdict != "no_data" and not verdict.no_harm
        ]
        unmet.append(f"no harm is not shown yet for {', '.join(unproven) or 'all guardrails'}")
    return unmet


def _leaning(verdict: MetricVerdict) -> str | None:
    """Why a guardrail that does not fail yet may not let the rollout advance: its whole interval is above the margin.

    One long window after an outage counts as one look, and its cap keeps it from rolling back alone. Where nothing
    speaks for harm, the interval does not either.
    """
    leaning = leans_to_harm(verdict) if verdict.role == "guardrail" and not verdict.forgiven else ""
    return f"guardrail '{verdict.metric}' leans to harm: {leaning}" if leaning else None


def _inconclusive(state: RolloutState, now: datetime) -> Decision | None:
    """Time is up, extension included, and the evidence still says neither yes nor no: never a pass by default."""
    ends = state.step_ends
    if state.stage_is_bake or ends is None or state.paused or INCONCLUSIVE in state.acknowledged:
        return None
    missing = evidence_unmet(state, now)
    if not missing or now < ends + state.spec.policy.max_extension:
        return None
    reason = f"inconclusive after {format_duration(state.spec.policy.max_extension)} of extension: {'; '.join(missing)}"
    action = Action.HOLD if state.spec.policy.inconclusive == "hold" else Action.ROLL_BACK
    return Decision(action, reason, Cause.DEADLINE, INCONCLUSIVE)


def next_deadline(state: RolloutState) -> datetime | None:
    """The next moment at which time alone may change the decision, besides the next look."""
    moments = [state.deadline()]
    if state.stage_is_bake and not state.paused:
        moments.append(state.bake_ends)
    return min((moment for moment in moments if moment is not None), default=None)
