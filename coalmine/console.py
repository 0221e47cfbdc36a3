"""What people see of a rollout: the status model, and the Markdown page in the Temporal UI's current details. Pure."""

from __future__ import annotations

from datetime import datetime

from coalmine.commands import can_send
from coalmine.effects import effect_text, interval_text, margin_text
from coalmine.markdown import cell, table, url_length
from coalmine.queueing import line_text, places
from coalmine.records import (
    Diagnosis,
    GateStatus,
    LedgerEntry,
    MetricVerdict,
    Outcome,
    Phase,
    RolloutReport,
    RolloutStatus,
    StepStatus,
    canary_id,
)
from coalmine.rollout import GateState, RolloutState, approval_of

PAGE_LIMIT = 3_500
"""Characters of the page."""
URL_LIMIT = 7_500
"""Bytes of the page as the UI sends it, URL-encoded: a reverse proxy may allow 8 KB. Looks and verdicts give way."""
_LOOKS_SHOWN = 6
_TEXT = 200
"""Characters of one free text on the page; all of it is in ``status`` and ``decisions``."""


def status(state: RolloutState) -> RolloutStatus:
    """The answer to the query ``status``."""
    spec, arms = state.spec, state.spec.arms
    gate = state.waiting_gate()
    return RolloutStatus(
        phase=state.phase,
        outcome=state.outcome,
        cause=state.cause,
        exit=state.exit_code,
        reason=state.reason,
        service=spec.service,
        environment=spec.environment,
        region=spec.region,
        version=arms.canary.version,
        baseline_version=arms.baseline.version,
        rollout_id=state.rollout_id,
        workflow_id=state.workflow_id or canary_id(spec.environment, spec.service, spec.region),
        run_id=state.run_id,
        by=state.submission.by,
        starter=state.starter.person if state.starter is not None else "",
        automated=state.submission.automated,
        advise=state.advise,
        step=max(state.step, 0),
        steps=[_step_status(state, index) for index in range(len(spec.steps))],
        weights=state.weights,
        canary_weight=state.canary_share(),
        generation=state.generation,
        looks=state.looks,
        planned_looks=state.planned_looks,
        verdicts=state.verdicts,
        unmet=state.unmet,
        next_look_at=state.next_look,
        step_ends_at=state.step_ends,
        deadline_at=state.deadline(),
        gate=_gate_status(state, gate) if gate else None,
        paused=state.paused,
        held_reason=state.held.reason if state.held else "",
        canary_requests=state.canary_requests,
        step_requests=state.step_requests,
        history_note=state.history_note,
        restored=state.restored,
        restore_failure="" if state.restored else state.restore_failure,
        restore_tries=state.restore_tries,
        diagnosis=state.diagnosis,
        refused=state.refused,
        can_send=can_send(state),
        ledger_backlog=len(state.backlog),
        waiting=places(state.line),
        ended=state.line.ended,
        started_at=state.started_at,
        closed_at=state.closed_at,
    )


def report(state: RolloutState) -> RolloutReport:
    """The result of the workflow."""
    arms = state.spec.arms
    return RolloutReport(
        outcome=state.outcome,
        reason=state.reason,
        cause=state.cause,
        exit=state.exit_code or 0,
        rollout_id=state.rollout_id,
        service=state.spec.service,
        environment=state.spec.environment,
        region=state.spec.region,
        version=arms.canary.version,
        baseline_version=arms.baseline.version,
        by=state.submission.by,
        advice=state.advice,
        weights=state.weights,
        looks=state.looks,
        canary_requests=state.canary_requests,
        started_at=state.started_at,
        closed_at=state.closed_at,
        seconds_to_restore=state.restore_seconds,
        verdicts=state.verdicts,
        checks=state.checks,
        diagnosis=state.diagnosis,
        decisions=[entry for entry in state.log if entry.kind != "look"],
        ledger_complete=not state.backlog and not state.unwritten,
        ledger_tip=state.ledger_tip,
    )


def _step_status(state: RolloutState, index: int) -> StepStatus:
    step, gate = state.spec.steps[index], state.gate_before(index)
    past = state.phase in (Phase.PROMOTING, Phase.WINDOW) or state.stage_is_bake or state.outcome is Outcome.PROMOTED
    return StepStatus.model_validate(
        {
            "weight": step.weight,
            "for": step.for_,
            "min_requests": step.min_requests,
            "gate": gate.name if gate else None,
            "state": "done" if index < state.step or past else "now" if index == state.step else "todo",
            "started_at": state.step_started if index == state.step else None,
        }
    )


def _gate_status(state: RolloutState, gate: GateState) -> GateStatus:
    approval = approval_of(state.spec, gate.step)
    return GateStatus(
        name=gate.name,
        step=gate.step,
        attempt=gate.attempt,
        state="open" if state.gate_open(gate) else "waiting" if gate.waiting_since else "closed",
        by=approval.by,
        count=approval.count,
        approvals=[
            given.by + (" (break-glass)" if given.break_glass else "" if state.counts(gate, given) else " (unverified)")
            for given in gate.approvals
            if given.attempt == gate.attempt
        ],
        deadline=gate.deadline,
    )


def headline(state: RolloutState) -> str:
    """One line: versions, phase and weight."""
    arms = state.spec.arms
    where = f"{state.spec.service} {arms.baseline.version} → {arms.canary.version}"
    ended = state.outcome or ("cancelled" if state.cancelled else None)
    paused = ", paused" if state.paused else ""
    phase = "rolling back" if state.phase is Phase.ROLLING_BACK else str(state.phase)
    return f"{where}: {ended if ended and state.phase is Phase.CLOSED else phase} at {state.canary_share():g} %{paused}"


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """A diagnosis in a message to people: the sentence, links, and traces that have one."""
    links = [f"{link.name}: {link.url}" for link in diagnosis.links]
    links += [f"trace {found.trace_id}: {found.link}" for found in diagnosis.exemplars if found.link]
    return "\n".join([diagnosis.sentence, *links])


def page(state: RolloutState) -> str:
    """The current details: state, steps, what is missing, what can be sent, verdicts and looks.

    Where all of it is too long, looks and verdicts give way: what can be sent is always there.
    """
    facts = [*_facts(state), cell(_steps(state), 2 * _TEXT), _unmet(state), _sendable(state)]
    top = [f"### {cell(headline(state), _TEXT)}", "\n".join(fact for fact in facts if fact), _refused(state)]
    for looks, verdicts in ((_LOOKS_SHOWN, 20), (3, 20), (1, 10), (0, 5), (0, 0)):
        text = "\n\n".join(part for part in [*top, _verdicts(state, verdicts), _looks(state, looks)] if part)
        if len(text) <= PAGE_LIMIT and (url_length(text) <= URL_LIMIT or not verdicts):
            return text
    return text[: PAGE_LIMIT - 2] + " …"


def _unmet(state: RolloutState) -> str:
    if not state.unmet or state.phase is Phase.CLOSED:
        return ""
    return "**Not yet:** " + cell("; ".join(state.unmet), 2 * _TEXT)


def _sendable(state: RolloutState) -> str:
    verbs = " ".join(f"`{verb}`" for verb in can_send(state))
    return f'**You can send:** {verbs} with `{{"by": "you", "reason": ""}}`' if verbs else ""


def _refused(state: RolloutState) -> str:
    rows = [
        f"- {refused.at:%H:%M:%S} `{cell(refused.verb, 40)}` {cell(refused.by, 40)}: {cell(refused.reason, 160)}"
        for refused in state.refused[-3:]
    ]
    return "**Refused:**\n" + "\n".join(rows) if rows else ""


def submitter(by: str, starter: str) -> str:
    """Who started it, as they said, and who they proved to be."""
    if not starter:
        return by
    return f"{by} (proved)" if starter.casefold() == by.casefold() else f"{by} (proved: {starter})"


def _facts(state: RolloutState) -> list[str]:
    named = f"`{state.rollout_id}` " if state.rollout_id else ""
    facts = [
        f"{named}started by {cell(submitter(state.submission.by, state.starter.person if state.starter else ''), 160)}"
    ]
    if state.advise:
        facts.append("**advice only: no traffic is shifted**")
    if state.restore_failure and not state.restored:
        facts.append(f"**not restored yet**, try {state.restore_tries + 1}: {cell(state.restore_failure, _TEXT)}")
    if state.held is not None:
        action = state.spec.policy.held.action.replace("_", " ")
        facts.append(f"**held**: {cell(state.held.reason, _TEXT)}; {action} at {_clock(state.held.deadline)}")
    gate = state.waiting_gate()
    if gate is not None:
        wanted = approval_of(state.spec, gate.step)
        who = cell(", ".join(wanted.by), _TEXT) or "anyone"
        facts.append(f"**gate `{gate.name}` waits** for {wanted.count} of {who} until {_clock(gate.deadline)}")
    if state.reason:
        facts.append(cell(state.reason, _TEXT))
    if state.diagnosis is not None:
        facts.append(f"**points to the cause:** {cell(state.diagnosis.sentence, _TEXT)}")
    if state.line.waiting:
        facts.append(f"**next:** {cell(line_text(places(state.line)), _TEXT)}")
    if state.history_note:
        facts.append(cell(state.history_note, _TEXT))
    return facts


def _steps(state: RolloutState) -> str:
    marks = {"done": "●", "now": "◐", "todo": "○"}
    shown = [f"{marks[step.state]} {step.weight:g} %" for step in status(state).steps]
    return "`" + "  ".join([*shown, ("●" if state.canary_share() >= 100 else "○") + " 100 %"]) + "`"


def _verdicts(state: RolloutState, most: int) -> str:
    if not state.verdicts or not most:
        return ""
    shown = state.verdicts[:most]
    compared = any(verdict.effect is not None or verdict.interval for verdict in shown)
    head = ("metric", "verdict", "effect:", "interval", "margin:") if compared else ("metric", "verdict")
    rows = [_verdict_row(verdict)[: len(head)] for verdict in shown]
    if len(state.verdicts) > most:
        rows.append((f"… and {len(state.verdicts) - most} more", "", "", "", "")[: len(head)])
    return table(head, rows) + ("\n\n" + cell(state.finding_reason, _TEXT) if state.finding_reason else "")


def _verdict_row(verdict: MetricVerdict) -> tuple[str, ...]:
    return (
        verdict.metric if verdict.role == "guardrail" else f"{verdict.metric} (signal)",
        verdict.verdict.replace("_", " "),
        effect_text(verdict.effect, verdict.measure) if verdict.effect is not None else "–",
        interval_text(verdict) or "–",
        margin_text(verdict) or "–",
    )


def _looks(state: RolloutState, most: int) -> str:
    looks = [entry for entry in state.log if entry.kind == "look"]
    if not looks or not most:
        return ""
    # The newest first: people open the page to read that one.
    return table(("look:", "at", "canary:", "requests:", "decision"), map(_look_row, reversed(looks[-most:])))


def _look_row(entry: LedgerEntry) -> tuple[str, ...]:
    data = entry.data
    action = str(data.get("action", "")).replace("_", " ")
    return (
        str(data.get("look", "")),
        f"{entry.at:%H:%M:%S}",
        f"{data.get('weight', 0):g} %",
        f"{data.get('canary_requests', 0):,}",
        cell(f"{action}: {entry.reason}", 70),
    )


def _clock(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "?"
