"""One release of one service in one environment: admit, snapshot, step, promote, bake, or roll back.

This file decides the order only. A phase is one method; each leaves the state such that a continue-as-new, a crash or a
cancellation can go on from it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue, VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from coalmine import console
    from coalmine.decisions import Decision, decide, next_deadline
    from coalmine.identity.names import folded
    from coalmine.queueing import join_older, leave_line
    from coalmine.records import (
        Action,
        CanaryInput,
        Cause,
        DecisionLog,
        Outcome,
        Phase,
        RolloutContext,
        RolloutReport,
        RolloutStatus,
        Submission,
    )
    from coalmine.rollout import RolloutState

from workflows.admission import Admission
from workflows.archiving import Archiving
from workflows.beginning_anew import BeginningAnew
from workflows.diagnosis import Diagnosing
from workflows.drift import Drifts
from workflows.ending import Ending
from workflows.hooks import Hooks
from workflows.inputs import NOTHING, decoded
from workflows.interruption import Interrupted, failure_reason
from workflows.journal import Journal
from workflows.ledger_first import LedgerFirst
from workflows.looks import Looks
from workflows.promoting import FIRST_STEP_WAITS, Promoting
from workflows.reception import Reception, problems
from workflows.reconciling import Reconciling
from workflows.reminders import Reminders
from workflows.signed import PATCH as FOLDED_NAMES
from workflows.signed import SignatureChecks
from workflows.taking_over import TakingOver
from workflows.traffic import Traffic
from workflows.turns import Turns
from workflows.versioning import when_versioned
from workflows.waiting import Waiting

WHO_SUBMITS = "who-submits"
"""Histories recorded before began whoever the input said."""
ARCHIVES_LATE = "archive-what-was-put-back-late"
"""Histories recorded before were kept as they were before a closed rollout put back what its reset had ended."""
SUBMISSION_LIMIT = timedelta(minutes=1)
"""How long a workflow that was started without a release waits for one to be submitted."""


@workflow.defn(name="Canary", versioning_behavior=when_versioned(VersioningBehavior.PINNED))
class Canary(Reception):
    """One rollout; its id is the lock of service, environment and region (I6)."""

    @workflow.init
    def __init__(self, given: RawValue = NOTHING) -> None:
        self._state: RolloutState | None = None
        self._journal: Journal | None = None
        self._waiting = Waiting()
        self._checks = SignatureChecks()
        self._done = False
        self._submitted = 0
        self._cancellation: BaseException | None = None
        self._bad_input = ""
        try:
            start = CanaryInput.model_validate(decoded(given))
        except (ValueError, ValidationError) as error:
            self._bad_input = f"the input of a Canary must be a CanaryInput: {problems(error)}"
            return
        if start.carried is not None and workflow.info().continued_run_id is None:
            self._bad_input = (
                "the input of a Canary has 'carried', which is for continue-as-new only: pass 'submission'"
            )
        elif start.carried is not None:
            self._open(RolloutState.model_validate(start.carried))
        elif start.submission is not None and not folded(start.submission.by) and workflow.patched(WHO_SUBMITS):
            self._bad_input = "'by' of the submission is empty: say who submits"
        elif start.submission is not None:
            self._begin(start.submission, start.line)

    def _open(self, state: RolloutState) -> None:
        state.run_id = workflow.info().run_id
        # Before anything can be said: carried on, it goes by the rules of the worker that begins the new run.
        state.by_older_rules = not workflow.patched(FOLDED_NAMES)
        join_older(state)
        self._state = state
        self._journal = Journal(state)
        self._taking_over = TakingOver(state, self._journal)
        self._traffic = Traffic(state, self._journal, self._taking_over, self._is_ordered)
        self._ledger = LedgerFirst(state, self._journal, self._is_ordered)
        drifts = Drifts(state, self._journal, self._traffic, self._ledger)
        self._looks = Looks(state, self._journal, self._is_ordered, drifts)
        self._turns = Turns(state, self._journal)
        self._diagnosing = Diagnosing(state, self._journal)
        self._hooks = Hooks(state, self._journal, self._taking_over)
        self._reconciling = Reconciling(state, self._journal, self._traffic, self._ledger, self._is_ordered)
        self._beginning_anew = BeginningAnew(state, self._journal, self._traffic, self._reconciling, self._is_ordered)
        self._admission = Admission(
            state, self._journal, self._traffic, self._hooks, self._taking_over, self._beginning_anew, self._is_ordered
        )
        self._archiving = Archiving(state, self._journal)
        self._promoting = Promoting(
            state,
            self._journal,
            self._traffic,
            self._ledger,
            self._looks,
            self._turns,
            self._hooks,
            self._taking_over,
            self._waiting,
            self._is_ordered,
        )
        self._reminders = Reminders(state, self._journal)
        self._ending = Ending(
            state,
            self._journal,
            self._traffic,
            self._turns,
            self._hooks,
            self._diagnosing,
            self._archiving,
            self._reconciling,
            self._taking_over,
        )

    @property
    def _opened_journal(self) -> Journal:
        if self._journal is None:
            raise AssertionError("no rollout was opened")
        return self._journal

    def log_fields(self) -> RolloutContext:
        """What the worker's log lines about this workflow say of it."""
        return self._state.context() if self._state is not None else RolloutContext()

    def _is_ordered(self) -> bool:
        return self._rollout.order is not None or self._taking_over.stops

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
        self._opened_journal.start()
        self._diagnosing.start()
        self._archiving.start()
        self._reminders.start()
        self._turns.start()
        self._ledger.start()
        self._taking_over.start(self._beginning_anew, self._waiting.poke)
        self._opened_journal.show()
        while not self._done:
            await self._proceed()
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._taking_over.stop()
        self._diagnosing.stop()
        self._reminders.stop()
        await self._opened_journal.stop()
        following = leave_line(self._rollout)
        if following is not None:
            # Also when this rollout was cancelled: who waits was told that it starts.
            self._start_next(following)
        if self._cancellation is not None:
            raise self._cancellation
        return console.report(self._rollout)

    async def _proceed(self) -> None:
        """One phase's next piece of work; a failure or a cancellation of it leads to the rollback."""
        try:
            await self._work()
            await self._renew()
        except (asyncio.CancelledError, FailureError) as error:
            if is_cancelled_exception(error):
                self._cancellation = self._cancellation or error
                if self._rollout.phase is Phase.WINDOW and self._taking_over.unsettled:
                    # Not said to be promoted yet: before the reset somebody may have taken it back.
                    self._rollout.cancelled = True
                    await self._taking_over.settle()
                self._turns.cancelled(self._taking_over.lost)
            else:
                reason = failure_reason(error) if isinstance(error, ActivityError) else str(error)
                self._turns.give_back(Outcome.FAILED, Cause.ERROR, reason)

    async def _work(self) -> None:
        if self._taking_over.stops:
            self._turns.give_back(Outcome.BLOCKED, Cause.ERROR, self._taking_over.lost)
            return
        if self._reconciling.due():
            await self._reconciling.reconcile()
            return
        match self._rollout.phase:
            case Phase.ADMITTING:
                await self._admit()
            case Phase.GATED | Phase.STEPPING | Phase.HELD:
                await self._step()
            case Phase.PROMOTING:
                await self._promoting.promote()
            case Phase.BAKING:
                await self._watch()
            case Phase.WINDOW:
                await self._promoting.keep_window()
            case Phase.ROLLING_BACK:
                await self._ending.roll_back()
            case Phase.CLOSED:
                await self._close()
                if self._turns.hears_late_cancels:
                    # Here, where a cancel is heard: who waits in line is not lost to it.
                    await workflow.wait_condition(workflow.all_handlers_finished)
                self._done = True

    async def _close(self) -> None:
        learnt = self._taking_over.learnt
        await self._ending.close()
        late = self._taking_over.unsettled
        if late:
            # Before anything else can own the route: the reset may have ended who did.
            await self._taking_over.settle()
        if self._taking_over.learnt != learnt and workflow.patched(ARCHIVES_LATE):
            # What was put back meanwhile is in no copy yet.
            await self._archiving.finish()
            late = True
        if late:
            await self._ending.hand_over()

    async def _renew(self) -> None:
        """Continue as new when the history grows long; the state carries everything."""
        state = self._rollout
        if self._done or state.phase in (Phase.ADMITTING, Phase.CLOSED) or self._cancellation is not None:
            return
        if not workflow.info().is_continue_as_new_suggested():
            return
        if self._taking_over.unsettled or self._taking_over.stops:
            # A run that goes on would not know that a reset made this one, nor ask or know whose the route is.
            return
        # A decision that is being verified holds nothing up, least of all a rollback.
        if self._checks.idle:
            await workflow.wait_condition(workflow.all_handlers_finished)
            self._taking_over.stop()
            self._diagnosing.stop()
            self._archiving.stop()
            self._reminders.stop()
            await self._opened_journal.stop()
            state.to_archive.append(state.run_id)
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
            CanaryInput(
                service=spec.service,
                environment=spec.environment,
                region=spec.region,
                submission=submission,
                line=self._rollout.line,
            )
        )

    # ---------------------------------------------------------------------------------- phase by phase

    async def _admit(self) -> None:
        state = self._rollout
        try:
            ended = await self._admission.check()
        except Interrupted:
            self._turns.obey()
            return
        if ended is Outcome.BLOCKED and self._taking_over.unsettled:
            # What the run before a reset left goes back all the same.
            await self._taking_over.settle()
        if ended is None:
            self._opened_journal.tell(console.headline(state), state.history_note, key="admitted")
            self._turns.enter(Phase.STEPPING)
        elif ended is Outcome.BLOCKED and not (state.prepared or state.written):
            self._turns.end(Outcome.BLOCKED, state.reason)
        else:
            self._turns.give_back(ended, state.cause or Cause.ERROR, state.reason)

    async def _step(self) -> None:
        """The steps, with whatever holds them: gates, holds, people."""
        state = self._rollout
        if state.step >= 0:
            await self._watch()
            return
        if self._turns.obey():
            return
        gate = state.gate_before(0)
        if gate is not None and not state.gate_open(gate):
            self._turns.wait_at(gate)
        if state.paused or state.held is not None or (gate is not None and not state.gate_open(gate)):
            await self._waiting.until(state, next_deadline(state), "gate before the first step: waiting for people")
            if not self._turns.obey():
                self._turns.mind_deadlines()
            return
        if self._ledger.for_every_rise and not state.advise and self._ledger.lacks():
            pokes = self._waiting.pokes
            await self._ledger.has_it(
                FIRST_STEP_WAITS,
                summary="waiting for the ledger before the first step",
                unless=lambda: self._waiting.pokes != pokes,
            )
            # Whatever was said meanwhile comes first.
            return
        await self._enter_step(0)

    async def _watch(self) -> None:
        """Wait for the next look, take it, and do what follows. Also while gated, paused, held and baking."""
        state = self._rollout
        if self._turns.obey():
            return
        moments = [moment for moment in (state.next_look, next_deadline(state)) if moment is not None]
        # A deadline that has passed but could not act (the bake's end without data) must not spin.
        ahead = [moment for moment in moments if moment > workflow.now()] if state.next_look else moments
        due = state.next_look is not None and state.next_look <= workflow.now()
        if not due:
            await self._waiting.until(state, min(ahead, default=None))
        if self._turns.obey():
            return
        decision: Decision | None = None
        if state.next_look is not None and state.next_look <= workflow.now():
            try:
                decision = await self._looks.take()
            except Interrupted:
                return
        await self._act(decision or decide(state, workflow.now()), looked=decision is not None)
        self._turns.mind_deadlines()
        self._opened_journal.show()

    async def _act(self, decision: Decision, *, looked: bool) -> None:
        state = self._rollout
        state.unmet = list(decision.unmet)
        if decision.action is Action.ROLL_BACK:
            self._turns.give_back(Outcome.ROLLED_BACK, decision.cause or Cause.ANALYSIS, decision.reason)
        elif state.phase is Phase.HELD:
            return
        elif decision.action is Action.HOLD:
            self._turns.hold(decision.finding, decision.reason)
        elif decision.action in (Action.ADVANCE, Action.PROMOTE):
            if decision.action is Action.ADVANCE and not looked:
                self._ledger.put_down(decision.reason)
            if await self._ledger.has_it():
                await self._advance_if_still(decision)
        else:
            self._turns.wait_for_people_if_due()

    async def _advance_if_still(self, decision: Decision) -> None:
        """Advance, unless what people said while the ledger was waited for stands in the way now."""
        state = self._rollout
        now_due = decide(state, workflow.now())
        if now_due.action is not decision.action:
            state.unmet = list(now_due.unmet)
            return
        if state.stage_is_bake:
            self._turns.promoted(decision.reason)
        elif state.is_last_step:
            self._opened_journal.note("promote", decision.reason)
            self._turns.enter(Phase.PROMOTING)
        else:
            self._opened_journal.note("advance", decision.reason, step=state.step + 1)
            await self._enter_step(state.step + 1)

    async def _enter_step(self, index: int) -> None:
        state = self._rollout
        weight = state.spec.steps[index].weight
        state.step, state.step_started = index, None
        state.step_extra, state.step_requests = 0.0, 0
        self._turns.enter(Phase.STEPPING)
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

    # ---------------------------------------------------------------------------------------- questions

    @workflow.query(name="status", description="Phase, step, weights, verdicts, unmet conditions, next look")
    def status(self) -> RolloutStatus:
        """Everything about the rollout now."""
        return console.status(self._rollout)

    @workflow.query(name="decisions", description="Every decision with its numbers, and every refused input")
    def decisions(self) -> DecisionLog:
        """The record, newest last; what no longer fits is in the ledger."""
        state = self._rollout
        return DecisionLog(entries=state.log, refused=state.refused, dropped=state.dropped)
