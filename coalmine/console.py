"""What people see of a rollout: the status model, the report, one line. Pure."""

from __future__ import annotations

from coalmine.commands import can_send
from coalmine.gates import GateState, approval_of
from coalmine.identity.names import folded
from coalmine.queueing import places
from coalmine.records import (
    Diagnosis,
    GateStatus,
    Outcome,
    Phase,
    RolloutReport,
    RolloutStatus,
    StepStatus,
    canary_id,
)
from coalmine.rollout import RolloutState


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
        sequence=state.sequence,
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


def submitter(by: str, starter: str) -> str:
    """Who started it, as they said, and who they proved to be."""
    if not starter:
        return by
    return f"{by} (proved)" if folded(starter) == folded(by) else f"{by} (proved: {starter})"
