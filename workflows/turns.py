"""The turns a rollout can take: into a gate, a hold, a rollback, its end. Each writes down and tells why.

No waiting and no activity here: a turn changes the state at once, and the workflow goes on from there.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from coalmine import console
    from coalmine.approving import bars_promote
    from coalmine.decisions import GATE, NO_DATA, evidence_unmet, guardrail_failures
    from coalmine.gates import GateState, approval_of, members_of
    from coalmine.records import Action, Cause, Outcome, Phase, Verb
    from coalmine.rollout import HeldState, RolloutState
    from coalmine.spec.digest import spec_digest
    from coalmine.spec.durations import format_duration

from workflows.diagnosis import note_what_to_diagnose
from workflows.journal import Journal

LATE_CANCEL = "late-cancel"
"""Histories recorded before do not note a cancel that finds the rollout closed, nor wait on for who is answered."""
_TEACHING = (Outcome.PROMOTED, Outcome.ROLLED_BACK, Outcome.REJECTED, Outcome.FAILED)
"""Outcomes after which people are asked what the release taught."""


class Turns:
    """Changes the phase of one rollout."""

    def __init__(self, state: RolloutState, journal: Journal) -> None:
        self._state = state
        self._journal = journal
        self.hears_late_cancels = False

    def start(self) -> None:
        """Ask in a run's first task, as ``Archiving`` does, what its history knows of."""
        self.hears_late_cancels = workflow.patched(LATE_CANCEL)

    def enter(self, phase: Phase) -> None:
        self._state.phase = phase
        self._journal.show()

    def obey(self) -> bool:
        """Carry out what a human ordered, if anything."""
        state, order = self._state, self._state.order
        if order is None:
            return False
        state.order = None
        said = f"{order.by}: {order.reason}" if order.reason else order.by
        if order.verb is Verb.PROMOTE:
            state.held, state.overridden = None, True
            self._journal.note("override", f"promoted by {said}", order.by, unmet=state.unmet)
            self.enter(Phase.PROMOTING)
        else:
            ending = Outcome.REJECTED if order.verb is Verb.REJECT else Outcome.ROLLED_BACK
            what = order.ending or order.verb
            self.give_back(order.ending or ending, Cause.HUMAN, f"{what} by {said}")
        return True

    def cancelled(self, lost: str) -> None:
        """The workflow was cancelled: go back, unless it was said already how the rollout ends.

        Args:
            lost: Why the route is another's; empty while it is ours.
        """
        state = self._state
        state.cancelled = True
        why = workflow.cancellation_reason() or "no reason given"
        if state.phase is Phase.CLOSED:
            if self.hears_late_cancels:
                stays = f"closed as {state.outcome}" if state.outcome is not None else "closed"
                self._journal.note("cancelled", f"the workflow was cancelled when the rollout was {stays}: {why}")
            return
        if state.phase is Phase.ROLLING_BACK:
            return
        if state.order is not None and state.order.verb is not Verb.PROMOTE:
            # Somebody was told that it goes back: it does, also from the window, and as they said.
            self.obey()
        elif state.phase is Phase.WINDOW:
            # Promoted was said already: a cancel now ends the watch, it does not take the release back.
            self._journal.note("cancelled", f"the workflow was cancelled in its rollback window: {why}")
            if lost:
                self.give_back(Outcome.BLOCKED, Cause.ERROR, lost)
            else:
                self.end(Outcome.PROMOTED, state.reason)
        else:
            self.give_back(Outcome.ROLLED_BACK, Cause.HUMAN, f"the workflow was cancelled: {why}")

    def give_back(self, ending: Outcome, cause: Cause, reason: str) -> None:
        """Begin the rollback."""
        state = self._state
        if state.phase in (Phase.ROLLING_BACK, Phase.CLOSED):
            return
        note_what_to_diagnose(state, "roll_back", reason)
        state.order, state.held, state.paused = None, None, False
        state.unmet = []
        state.ending, state.cause, state.reason = ending, cause, reason
        state.outcome = None
        if state.advise:
            state.advice = Action.ROLL_BACK if ending is Outcome.ROLLED_BACK and cause is not Cause.HUMAN else None
        state.restore_began = workflow.now()
        self.enter(Phase.ROLLING_BACK)
        self._journal.note("roll_back", reason, cause=str(cause), ending=str(ending))
        self._journal.tell(f"{console.headline(state)}", f"Rolling back: {reason}", "critical", key="rolling-back")

    def end(self, outcome: Outcome | None, reason: str) -> None:
        state = self._state
        if state.phase is Phase.CLOSED:
            return
        state.outcome = None if state.advise and outcome is not Outcome.BLOCKED else outcome
        state.reason, state.closed_at = reason, workflow.now()
        state.unmet, state.next_look = [], None
        state.phase = Phase.CLOSED
        self._journal.note(
            "closed",
            reason,
            outcome=str(state.outcome) if state.outcome else None,
            advice=str(state.advice) if state.advice else None,
            cause=str(state.cause) if state.cause else None,
            cancelled=state.cancelled,
            weights=state.weights,
            looks=state.looks,
            canary_requests=state.canary_requests,
            details={
                "version": state.spec.arms.canary.version,
                "baseline": state.spec.arms.baseline.version,
                "by": state.submission.by,
                "spec_hash": spec_digest(state.spec),
                "checks": [check.model_dump(mode="json") for check in state.checks],
                "seconds_to_restore": state.restore_seconds,
                "verdicts": [verdict.model_dump(mode="json", exclude_defaults=True) for verdict in state.verdicts],
            },
        )
        told = reason
        if state.diagnosis is not None and state.ending is not None and state.diagnosis.decision == "roll_back":
            told = f"{reason}\n{console.diagnosis_text(state.diagnosis)}"
        if state.outcome in _TEACHING and state.rollout_id:
            told = f"{told}\nWhat did it teach? coalmine insights {state.rollout_id} --write '...'"
        good = state.outcome in (Outcome.PROMOTED, None)
        self._journal.tell(console.headline(state), told, "info" if good else "warning", key="closed")
        self._journal.show()

    def hold(self, finding: str, reason: str) -> None:
        state, now = self._state, workflow.now()
        note_what_to_diagnose(state, "hold", reason)
        if state.advise:
            state.advice = Action.HOLD
            self.end(None, f"advice: hold; {reason}")
            return
        wait = state.spec.policy.held.timeout
        resume_to = Phase.BAKING if state.phase is Phase.BAKING else Phase.STEPPING
        state.held = HeldState(finding=finding, reason=reason, since=now, deadline=now + wait, resume_to=resume_to)
        self.enter(Phase.HELD)
        action = state.spec.policy.held.action.replace("_", " ")
        self._journal.note("hold", reason, finding=finding, deadline=state.held.deadline.isoformat())
        self._journal.tell(
            f"{console.headline(state)}: a human is needed",
            f"{reason}. Without a word it will {action} in {format_duration(wait)}.",
            "warning",
            key=f"held-{state.sequence}",
        )

    def wait_for_people_if_due(self) -> None:
        """The gate's clock starts when all else is met; from then on the phase is gated until it opens."""
        state = self._state
        if state.waiting_gate() is not None:
            if state.phase is Phase.STEPPING:
                self.enter(Phase.GATED)
            return
        if state.phase is Phase.GATED:
            self.enter(Phase.STEPPING)
        gate = state.gate_before(state.step + 1)
        if state.stage_is_bake or gate is None or state.gate_open(gate):
            return
        if not evidence_unmet(state, workflow.now()):
            self.wait_at(gate)

    def wait_at(self, gate: GateState) -> None:
        if gate.waiting_since is not None:
            return
        state, now = self._state, workflow.now()
        approval = approval_of(state.spec, gate.step)
        gate.waiting_since, gate.deadline = now, now + approval.timeout
        gate.reminders, gate.escalated = 0, False
        self.enter(Phase.GATED)
        who = ", ".join(approval.by) or "anyone"
        weight = state.spec.steps[gate.step].weight
        waits, members = f"gate '{gate.name}' waits for {approval.count} of {who}", members_of(state.spec, approval.by)
        self._journal.note("gate", waits, gate=gate.name, **members)
        self._journal.tell(
            f"{console.headline(state)}: approval needed",
            f"Gate '{gate.name}' before {weight:g} % waits for {approval.count} of {who}, "
            f"until {gate.deadline:%Y-%m-%d %H:%M} UTC.",
            key=f"gate-{gate.name}-{gate.attempt}",
        )

    def mind_deadlines(self) -> None:
        """Holds and gates that waited too long do what their policy names."""
        state, now = self._state, workflow.now()
        if state.phase is Phase.HELD and state.held is not None and state.held.deadline <= now:
            reason = f"held until its deadline: {state.held.reason}"
            if self._may_promote_unasked():
                in_bake, state.held, state.cause = state.stage_is_bake, None, Cause.DEADLINE
                state.overridden = True
                self._journal.note("override", f"promoted by policy: {reason}", unmet=state.unmet)
                if in_bake:
                    # All traffic is on the canary: promoting once more would only begin the bake, and the hold, anew.
                    self.promoted(f"promoted by policy: {reason}")
                else:
                    self.enter(Phase.PROMOTING)
                return
            self.give_back(Outcome.ROLLED_BACK, Cause.DEADLINE, reason)
            return
        gate = state.waiting_gate()
        if state.phase is not Phase.GATED or gate is None or gate.deadline is None or gate.deadline > now:
            return
        approval = approval_of(state.spec, gate.step)
        reason = f"gate '{gate.name}' was not approved within {format_duration(approval.timeout)}"
        if approval.on_timeout == "hold":
            self.hold(GATE, reason)
        else:
            self.give_back(Outcome.ROLLED_BACK, Cause.DEADLINE, reason)

    def _may_promote_unasked(self) -> bool:
        """A policy may promote what no human looked at, but never without data: too little is never a pass."""
        state = self._state
        blind = state.no_data_since is not None or (state.held is not None and state.held.finding == NO_DATA)
        failing = guardrail_failures(state.verdicts, state.finding)
        return (
            state.spec.policy.held.action == "promote" and not failing and not blind and not bars_promote(state, None)
        )

    def promoted(self, reason: str) -> None:
        """The moment watchers and CI wait for."""
        state = self._state
        state.outcome, state.reason, state.paused = Outcome.PROMOTED, reason, False
        self._journal.note("promoted", reason, outcome=str(Outcome.PROMOTED))
        window = state.spec.promotion.rollback_window
        state.window_ends = workflow.now() + window
        self._journal.tell(f"{console.headline(state)}: promoted", reason, key="promoted")
        self.enter(Phase.WINDOW)
