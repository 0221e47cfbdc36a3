"""One release of one service in one environment: admit, snapshot, step, promote, bake, or roll back.

This file decides the order only. A phase is one method; each leaves the state such that a continue-as-new, a crash or a
cancellation can go on from it.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RawValue, VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from coalmine import console
    from coalmine.decisions import Decision, decide, evidence_unmet, guardrail_failures, next_deadline
    from coalmine.records import (
        ASK_FLEET,
        Action,
        CanaryInput,
        Cause,
        DecisionLog,
        FleetAnswer,
        FleetRequest,
        Outcome,
        Phase,
        Receipt,
        RolloutReport,
        RolloutStatus,
        Submission,
        Verb,
    )
    from coalmine.rollout import GateState, HeldState, RolloutState, approval_of
    from coalmine.spec.durations import format_duration

from workflows.admission import Admission
from workflows.calls import FLEET_AFTER, call
from workflows.interruption import Interrupted, failure_reason
from workflows.journal import Journal
from workflows.looks import Looks
from workflows.messages import NOTHING, Messages, decoded
from workflows.traffic import Traffic

SUBMISSION_LIMIT = timedelta(minutes=1)
"""How long a workflow that was started without a release waits for one to be submitted."""


@workflow.defn(name="Canary", versioning_behavior=VersioningBehavior.PINNED)
class Canary(Messages):
    """One rollout; its id is the lock of service, environment and region (I6)."""

    @workflow.init
    def __init__(self, given: RawValue = NOTHING) -> None:
        self._state: RolloutState | None = None
        self._journal: Journal | None = None
        self._pokes = 0
        self._done = False
        self._submitted = 0
        self._cancellation: BaseException | None = None
        self._bad_input = ""
        try:
            start = CanaryInput.model_validate(decoded(given))
        except (ValueError, ValidationError) as error:
            self._bad_input = f"the input of a Canary must be a CanaryInput: {_problems(error)}"
            return
        if start.carried is not None:
            self._open(RolloutState.model_validate(start.carried))
        elif start.submission is not None:
            self._open(self._begun(start.submission))

    def _begun(self, submission: Submission) -> RolloutState:
        info = workflow.info()
        return RolloutState.begin(submission, info.workflow_id, info.run_id, workflow.now())

    def _open(self, state: RolloutState) -> None:
        state.run_id = workflow.info().run_id
        self._state = state
        self._journal = Journal(state)
        self._traffic = Traffic(state, self._journal, self._is_ordered)
        self._looks = Looks(state, self._journal, self._is_ordered)
        self._admission = Admission(state, self._journal, self._traffic, self._is_ordered)

    @property
    def _diary(self) -> Journal:
        if self._journal is None:
            raise AssertionError("no rollout was opened")
        return self._journal

    def _is_ordered(self) -> bool:
        return self._rollout.order is not None

    # ------------------------------------------------------------------------------------------- the run

    @workflow.run
    async def run(self, given: RawValue = NOTHING) -> RolloutReport:
        """Conduct the rollout to its end and report."""
        if self._bad_input:
            raise ApplicationError(self._bad_input, type="InvalidInput", non_retryable=True)
        if self._state is None:
            try:
                await workflow.wait_condition(lambda: self._state is not None, timeout=SUBMISSION_LIMIT)
            except TimeoutError:
                reason = "no release was submitted within a minute: start it with coalmine start, or pass 'submission'"
                raise ApplicationError(reason, type="InvalidInput", non_retryable=True) from None
        self._diary.start()
        self._diary.show()
        while not self._done:
            await self._proceed()
        await workflow.wait_condition(workflow.all_handlers_finished)
        await self._diary.stop()
        if self._cancellation is not None:
            raise self._cancellation
        if self._rollout.next_submission is not None:
            self._start_next(self._rollout.next_submission)
        return self._report()

    async def _proceed(self) -> None:
        """One phase's next piece of work; a failure or a cancellation of it leads to the rollback."""
        try:
            await self._work()
            await self._renew()
        except (asyncio.CancelledError, FailureError) as error:
            if is_cancelled_exception(error):
                self._cancellation = self._cancellation or error
                self._cancelled()
            else:
                reason = failure_reason(error) if isinstance(error, ActivityError) else str(error)
                self._give_back(Outcome.FAILED, Cause.ERROR, reason)

    async def _work(self) -> None:
        match self._rollout.phase:
            case Phase.ADMITTING:
                await self._admit()
            case Phase.GATED | Phase.STEPPING | Phase.HELD:
                await self._step()
            case Phase.PROMOTING:
                await self._promote()
            case Phase.BAKING:
                await self._watch()
            case Phase.WINDOW:
                await self._keep_window()
            case Phase.ROLLING_BACK:
                await self._roll_back()
            case Phase.CLOSED:
                await self._close()

    async def _renew(self) -> None:
        """Continue as new when the history grows long; the state carries everything."""
        state = self._rollout
        if self._done or state.phase in (Phase.ADMITTING, Phase.CLOSED) or self._cancellation is not None:
            return
        if workflow.info().is_continue_as_new_suggested():
            await workflow.wait_condition(workflow.all_handlers_finished)
            await self._diary.stop()
            spec = state.spec
            workflow.continue_as_new(
                CanaryInput(
                    service=spec.service,
                    environment=spec.environment,
                    region=spec.region,
                    carried=state.model_dump(mode="json"),
                )
            )

    def _start_next(self, submission: Submission) -> None:
        spec = submission.spec
        workflow.continue_as_new(
            CanaryInput(service=spec.service, environment=spec.environment, region=spec.region, submission=submission)
        )

    # ---------------------------------------------------------------------------------- phase by phase

    async def _admit(self) -> None:
        state = self._rollout
        try:
            ended = await self._admission.check()
        except Interrupted:
            self._obey()
            return
        if ended is None:
            self._diary.tell(console.headline(state), state.history_note, key="admitted")
            self._enter(Phase.STEPPING)
        elif ended is Outcome.BLOCKED and not state.prepared:
            self._end(Outcome.BLOCKED, state.reason)
        else:
            self._give_back(ended, state.cause or Cause.ERROR, state.reason)

    async def _step(self) -> None:
        """The steps, with whatever holds them: gates, holds, people."""
        state = self._rollout
        if state.step >= 0:
            await self._watch()
            return
        if self._obey():
            return
        gate = state.gate_before(0)
        if gate is not None and not state.gate_open(gate):
            self._wait_at(gate)
        if state.paused or state.held is not None or (gate is not None and not state.gate_open(gate)):
            await self._wait(next_deadline(state), "gate before the first step: waiting for people")
            if not self._obey():
                self._mind_deadlines()
            return
        await self._enter_step(0)

    async def _watch(self) -> None:
        """Wait for the next look, take it, and do what follows. Also while gated, paused, held and baking."""
        state = self._rollout
        if self._obey():
            return
        moments = [moment for moment in (state.next_look, next_deadline(state)) if moment is not None]
        # A deadline that has passed but could not act (the bake's end without data) must not spin.
        ahead = [moment for moment in moments if moment > workflow.now()] if state.next_look else moments
        due = state.next_look is not None and state.next_look <= workflow.now()
        if not due:
            await self._wait(min(ahead, default=None), self._wait_summary())
        if self._obey():
            return
        decision: Decision | None = None
        if state.next_look is not None and state.next_look <= workflow.now():
            try:
                decision = await self._looks.take()
            except Interrupted:
                return
        await self._act(decision or decide(state, workflow.now()))
        self._mind_deadlines()
        self._diary.show()

    async def _act(self, decision: Decision) -> None:
        state = self._rollout
        state.unmet = list(decision.unmet)
        if decision.action is Action.ROLL_BACK:
            self._give_back(Outcome.ROLLED_BACK, decision.cause or Cause.ANALYSIS, decision.reason)
        elif state.phase is Phase.HELD:
            return
        elif decision.action is Action.HOLD:
            self._hold(decision.finding, decision.reason)
        elif decision.action in (Action.ADVANCE, Action.PROMOTE):
            if await self._ledger_has_it():
                await self._advance(decision)
        else:
            self._wait_for_people_if_due()

    async def _advance(self, decision: Decision) -> None:
        state = self._rollout
        if state.stage_is_bake:
            self._promoted(decision.reason)
        elif state.is_last_step:
            self._diary.note("promote", decision.reason)
            self._enter(Phase.PROMOTING)
        else:
            self._diary.note("advance", decision.reason, step=state.step + 1)
            await self._enter_step(state.step + 1)

    async def _enter_step(self, index: int) -> None:
        state = self._rollout
        weight = state.spec.steps[index].weight
        state.step, state.step_started = index, None
        state.step_extra, state.step_requests = 0.0, 0
        self._enter(Phase.STEPPING)
        if not state.advise:
            try:
                await self._traffic.shift(
                    state.step_weights(index), f"shift {weight:g} % to {state.spec.arms.canary.version}"
                )
            except Interrupted:
                return
        now = workflow.now()
        state.step_started, state.fresh_step = now, index > 0
        self._looks.begin(now, from_now=index == 0)

    async def _promote(self) -> None:
        state = self._rollout
        if self._obey():
            return
        if state.advise:
            state.advice = Action.PROMOTE
            self._end(None, f"advice: promote; {state.finding_reason}")
            return
        try:
            await self._traffic.shift(
                state.step_weights(len(state.spec.steps)), f"shift 100 % to {state.spec.arms.canary.version}"
            )
        except Interrupted:
            return
        bake = state.spec.promotion.bake
        if bake <= timedelta(0):
            self._promoted("all traffic is on the canary; the spec asks for no bake")
            return
        now = workflow.now()
        state.bake_ends = now + bake
        state.verdicts, state.finding, state.finding_reason = [], None, ""
        state.no_data_since, state.told_no_data, state.acknowledged = None, False, []
        self._looks.begin(now, from_now=True)
        self._enter(Phase.BAKING)
        self._diary.note("baking", f"watching at 100 % for {format_duration(bake)}")

    def _promoted(self, reason: str) -> None:
        """The moment watchers and CI wait for."""
        state = self._rollout
        state.outcome, state.reason, state.paused = Outcome.PROMOTED, reason, False
        self._diary.note("promoted", reason, outcome=str(Outcome.PROMOTED))
        window = state.spec.promotion.rollback_window
        state.window_ends = workflow.now() + window
        self._diary.tell(f"{console.headline(state)}: promoted", reason, key="promoted")
        self._enter(Phase.WINDOW)

    async def _keep_window(self) -> None:
        """The old version stays reachable: one word restores it."""
        state = self._rollout
        if self._obey():
            return
        if state.next_submission is None and state.window_ends is not None and workflow.now() < state.window_ends:
            await self._wait(state.window_ends, "rollback window: one word restores the old version")
            return
        retire = state.spec.hooks.retire
        if retire is not None:
            try:
                await self._admission.run_hook("retire", retire)
            except ActivityError as error:
                self._diary.note("hook", f"retire: {failure_reason(error)}", hook="retire")
                self._diary.tell("Hook retire failed", f"{state.rollout_id}: {failure_reason(error)}", "warning")
        self._end(Outcome.PROMOTED, state.reason)

    async def _roll_back(self) -> None:
        state = self._rollout
        await self._traffic.restore()
        if state.ending in (Outcome.ROLLED_BACK, Outcome.REJECTED) and not state.advise:
            await self._ban()
        hook = state.spec.hooks.rolled_back
        if hook is not None and not state.advise and (state.written or state.prepared):
            try:
                await self._admission.run_hook("rolled_back", hook)
            except ActivityError as error:
                self._diary.note("hook", f"rolled_back: {failure_reason(error)}", hook="rolled_back")
                self._diary.tell("Hook rolled_back failed", f"{state.rollout_id}: {failure_reason(error)}", "warning")
        self._end(state.ending, state.reason)

    async def _ban(self) -> None:
        """Keep automation from starting this version again; the route is restored already, so this may fail."""
        state, spec = self._rollout, self._rollout.spec
        request = FleetRequest(
            verb="ban",
            environment=spec.environment,
            service=spec.service,
            version=spec.arms.canary.version,
            region=spec.region,
            workflow_id=state.workflow_id,
            run_id=state.run_id,
            request_id=f"{state.run_id}/ban",
            by=f"rollout {state.rollout_id}",
            reason=state.reason,
            rollout_id=state.rollout_id,
        )
        try:
            await call(ASK_FLEET, request, FLEET_AFTER, f"ban {spec.arms.canary.version}")
        except ActivityError as error:
            self._diary.note("ban_failed", failure_reason(error))
            self._diary.tell("The version could not be banned", failure_reason(error), "warning")

    async def _close(self) -> None:
        """Hand the rest of the record over, and be done."""
        if not await self._diary.flush():
            backlog = len(self._rollout.backlog)
            self._diary.tell(
                "The ledger lacks entries",
                f"{self._rollout.rollout_id}: {backlog} entries could not be written; they are in the workflow history.",
                "critical",
                key="ledger-backlog",
            )
        await self._diary.deliver()
        self._done = True

    # ------------------------------------------------------------------------------------- transitions

    def _enter(self, phase: Phase) -> None:
        self._rollout.phase = phase
        self._diary.show()

    def _obey(self) -> bool:
        """Carry out what a human ordered, if anything."""
        state, order = self._rollout, self._rollout.order
        if order is None:
            return False
        state.order = None
        said = f"{order.by}: {order.reason}" if order.reason else order.by
        if order.verb is Verb.PROMOTE:
            state.held = None
            self._diary.note("override", f"promoted by {said}", order.by, unmet=state.unmet)
            self._enter(Phase.PROMOTING)
        else:
            ending = Outcome.REJECTED if order.verb is Verb.REJECT else Outcome.ROLLED_BACK
            self._give_back(ending, Cause.HUMAN, f"{order.verb} by {said}")
        return True

    def _cancelled(self) -> None:
        state = self._rollout
        state.cancelled = True
        if state.phase is Phase.WINDOW:
            # Promoted was said already: a cancel now ends the watch, it does not take the release back.
            self._end(Outcome.PROMOTED, state.reason)
        elif state.phase not in (Phase.ROLLING_BACK, Phase.CLOSED):
            why = workflow.cancellation_reason() or "no reason given"
            self._give_back(Outcome.ROLLED_BACK, Cause.HUMAN, f"the workflow was cancelled: {why}")

    def _give_back(self, ending: Outcome, cause: Cause, reason: str) -> None:
        """Begin the rollback."""
        state = self._rollout
        if state.phase in (Phase.ROLLING_BACK, Phase.CLOSED):
            return
        state.order, state.held, state.paused = None, None, False
        state.ending, state.cause, state.reason = ending, cause, reason
        state.outcome = None
        if state.advise:
            state.advice = Action.ROLL_BACK if ending is Outcome.ROLLED_BACK and cause is not Cause.HUMAN else None
        state.restore_began = workflow.now()
        self._enter(Phase.ROLLING_BACK)
        self._diary.note("roll_back", reason, cause=str(cause), ending=str(ending))
        self._diary.tell(f"{console.headline(state)}", f"Rolling back: {reason}", "critical", key="rolling-back")

    def _end(self, outcome: Outcome | None, reason: str) -> None:
        state = self._rollout
        if state.phase is Phase.CLOSED:
            return
        state.outcome = None if state.advise and outcome is not Outcome.BLOCKED else outcome
        state.reason, state.closed_at = reason, workflow.now()
        state.unmet, state.next_look = [], None
        state.phase = Phase.CLOSED
        self._diary.note(
            "closed",
            reason,
            outcome=str(state.outcome) if state.outcome else None,
            advice=str(state.advice) if state.advice else None,
            cause=str(state.cause) if state.cause else None,
            cancelled=state.cancelled,
            weights=state.weights,
            looks=state.looks,
            canary_requests=state.canary_requests,
        )
        severity = "info" if state.outcome in (Outcome.PROMOTED, None) else "warning"
        self._diary.tell(
            f"{console.headline(state)}", reason, "info" if severity == "info" else "warning", key="closed"
        )
        self._diary.show()

    def _hold(self, finding: str, reason: str) -> None:
        state, now = self._rollout, workflow.now()
        if state.advise:
            state.advice = Action.HOLD
            self._end(None, f"advice: hold; {reason}")
            return
        wait = state.spec.policy.held.timeout
        resume_to = Phase.BAKING if state.phase is Phase.BAKING else Phase.STEPPING
        state.held = HeldState(finding=finding, reason=reason, since=now, deadline=now + wait, resume_to=resume_to)
        self._enter(Phase.HELD)
        action = state.spec.policy.held.action.replace("_", " ")
        self._diary.note("hold", reason, finding=finding, deadline=state.held.deadline.isoformat())
        self._diary.tell(
            f"{console.headline(state)}: a human is needed",
            f"{reason}. Without a word it will {action} in {format_duration(wait)}.",
            "warning",
            key=f"held-{state.sequence}",
        )

    def _wait_for_people_if_due(self) -> None:
        """The gate's clock starts when all else is met."""
        state = self._rollout
        gate = state.gate_before(state.step + 1)
        if state.phase is Phase.GATED and state.waiting_gate() is None:
            self._enter(Phase.STEPPING)
        if state.stage_is_bake or gate is None or state.gate_open(gate) or gate.waiting_since is not None:
            return
        if not evidence_unmet(state, workflow.now()):
            self._wait_at(gate)

    def _wait_at(self, gate: GateState) -> None:
        if gate.waiting_since is not None:
            return
        state, now = self._rollout, workflow.now()
        approval = approval_of(state.spec, gate.step)
        gate.waiting_since, gate.deadline = now, now + approval.timeout
        self._enter(Phase.GATED)
        who = ", ".join(approval.by) or "anyone"
        weight = state.spec.steps[gate.step].weight
        self._diary.note("gate", f"gate '{gate.name}' waits for {approval.count} of {who}", gate=gate.name)
        self._diary.tell(
            f"{console.headline(state)}: approval needed",
            f"Gate '{gate.name}' before {weight:g} % waits for {approval.count} of {who}, "
            f"until {gate.deadline:%Y-%m-%d %H:%M} UTC.",
            key=f"gate-{gate.name}-{gate.attempt}",
        )

    def _mind_deadlines(self) -> None:
        """Holds and gates that waited too long do what their policy names."""
        state, now = self._rollout, workflow.now()
        if state.phase is Phase.HELD and state.held is not None and state.held.deadline <= now:
            reason = f"held until its deadline: {state.held.reason}"
            if state.spec.policy.held.action == "promote" and not guardrail_failures(state.verdicts, state.finding):
                state.held, state.cause = None, Cause.DEADLINE
                self._diary.note("override", f"promoted by policy: {reason}", unmet=state.unmet)
                self._enter(Phase.PROMOTING)
                return
            self._give_back(Outcome.ROLLED_BACK, Cause.DEADLINE, reason)
            return
        gate = state.waiting_gate()
        if state.phase is not Phase.GATED or gate is None or gate.deadline is None or gate.deadline > now:
            return
        approval = approval_of(state.spec, gate.step)
        reason = f"gate '{gate.name}' was not approved within {format_duration(approval.timeout)}"
        if approval.on_timeout == "hold":
            self._hold("gate", reason)
        else:
            self._give_back(Outcome.ROLLED_BACK, Cause.DEADLINE, reason)

    # ------------------------------------------------------------------------------------------ waiting

    async def _wait(self, until: datetime | None, summary: str) -> None:
        """Wait until a moment, or until somebody said something."""
        pokes = self._pokes
        if until is None:
            await workflow.wait_condition(lambda: self._pokes != pokes)
            return
        left = until - workflow.now()
        if left <= timedelta(0):
            return
        try:
            await workflow.wait_condition(lambda: self._pokes != pokes, timeout=left, timeout_summary=summary)
        except TimeoutError:
            return

    async def _ledger_has_it(self) -> bool:
        """Advance and promote wait for the ledger, at most until the next look (I4)."""
        state = self._rollout
        if not state.urgent:
            return True
        left = (state.next_look or workflow.now()) - workflow.now()
        try:
            await workflow.wait_condition(
                lambda: not state.urgent or self._is_ordered(),
                timeout=max(left, timedelta(seconds=1)),
                timeout_summary="waiting for the ledger before advancing",
            )
        except TimeoutError:
            state.unmet = ["the ledger has not taken the record yet"]
            return False
        return not self._is_ordered()

    def _wait_summary(self) -> str:
        state = self._rollout
        what = "held" if state.phase is Phase.HELD else "paused" if state.paused else str(state.phase)
        return f"look {state.looks + 1} at {state.canary_share():g} %: wait ({what})"

    # ------------------------------------------------------------------------------- submit and queries

    @workflow.update(name="submit", description="Start a release, or attach to it when it runs already")
    async def submit(self, given: RawValue) -> Receipt:
        """Answer once it is admitted or refused."""
        submission = self._submission(given)
        if self._state is None:
            self._open(self._begun(submission))
        state, version = self._rollout, submission.spec.arms.canary.version
        running = state.spec.arms.canary.version
        if version != running:
            return self._other_version(submission)
        self._submitted += 1
        first = self._submitted == 1 and state.phase is Phase.ADMITTING
        await workflow.wait_condition(lambda: state.phase is not Phase.ADMITTING or self._done)
        if state.outcome is Outcome.BLOCKED:
            return self._receipt("blocked", state.reason)
        if first:
            return self._receipt("started", state.history_note)
        differs = "" if submission.spec == state.spec else "; its spec differs from the one sent now, which is not used"
        return self._receipt("attached", f"{running} is {state.phase} already{differs}")

    @submit.validator
    def _check_submit(self, given: RawValue) -> None:
        spec = self._submission(given).spec
        if self._state is not None:
            ours = self._state.spec
            if (spec.service, spec.environment, spec.region) != (ours.service, ours.environment, ours.region):
                reason = f"this workflow belongs to {ours.service} in {ours.environment}, not to {spec.service}"
                raise ApplicationError(reason, type="Refused", non_retryable=True)

    def _other_version(self, submission: Submission) -> Receipt:
        state = self._rollout
        running, wanted = state.spec.arms.canary.version, submission.spec.arms.canary.version
        if state.phase is Phase.WINDOW and state.next_submission is None:
            state.next_submission = submission
            self._pokes += 1
            receipt = self._receipt("started", f"the rollback window of {running} closes; {wanted} starts now")
            return receipt.model_copy(update={"version": wanted, "rollout_id": "", "phase": Phase.ADMITTING})
        return self._receipt("rejected", f"{running} is {state.phase}: one rollout at a time (when_busy: reject)")

    def _submission(self, given: RawValue) -> Submission:
        try:
            return Submission.model_validate(decoded(given))
        except (ValueError, ValidationError) as error:
            reason = f"not a submission: {_problems(error)}"
            raise ApplicationError(reason, type="Refused", non_retryable=True) from None

    def _receipt(self, disposition: str, reason: str) -> Receipt:
        state = self._rollout
        return Receipt.model_validate(
            {
                "disposition": disposition,
                "workflow_id": state.workflow_id,
                "run_id": state.run_id,
                "rollout_id": state.rollout_id,
                "version": state.spec.arms.canary.version,
                "phase": state.phase,
                "checks": state.checks,
                "reason": reason,
            }
        )

    @workflow.signal(name="fleet_answer", description="The fleet answers admission (not for people)")
    def fleet_answer(self, answer: FleetAnswer) -> None:
        """Take the rollout's number and ban."""
        if self._state is not None:
            self._admission.hear(answer)

    @workflow.query(name="status", description="Phase, step, weights, verdicts, unmet conditions, next look")
    def status(self) -> RolloutStatus:
        """Everything about the rollout now."""
        return console.status(self._rollout)

    @workflow.query(name="decisions", description="Every decision with its numbers, and every refused input")
    def decisions(self) -> DecisionLog:
        """The record, newest last; what no longer fits is in the ledger."""
        state = self._rollout
        return DecisionLog(entries=state.log, refused=state.refused, dropped=state.dropped)

    def _report(self) -> RolloutReport:
        state, arms = self._rollout, self._rollout.spec.arms
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
            decisions=[entry for entry in state.log if entry.kind != "look"],
            ledger_complete=not state.backlog,
        )


def _problems(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    found = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()[:5]]
    return "; ".join(found)
