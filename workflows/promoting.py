"""All traffic to the canary: 100 % once the ledger has the decision, then the window in which a word restores the old.

``Canary`` calls one method per phase; what comes after 100 % and before the window, the bake, is watched like a step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from coalmine.decisions import INCONCLUSIVE
    from coalmine.records import RETIRE, Action, Cause, Outcome, Phase
    from coalmine.rollout import RolloutState
    from coalmine.spec.durations import format_duration

from workflows.hooks import Hooks
from workflows.interruption import Interrupted, unless
from workflows.journal import Journal
from workflows.ledger_first import LACKS, LedgerFirst
from workflows.looks import Looks
from workflows.slot import Slot
from workflows.taking_over import TakingOver
from workflows.traffic import Traffic
from workflows.turns import Turns
from workflows.waiting import Waiting

PAUSED = "it is paused"
FIRST_STEP_WAITS = timedelta(minutes=10)
"""For the ledger, before it is asked anew: no look is due yet."""


class Promoting:
    """Promotes one rollout, and keeps the way back open."""

    def __init__(
        self,
        state: RolloutState,
        journal: Journal,
        traffic: Traffic,
        ledger: LedgerFirst,
        looks: Looks,
        turns: Turns,
        hooks: Hooks,
        taking_over: TakingOver,
        waiting: Waiting,
        is_ordered: Callable[[], bool],
    ) -> None:
        self._state = state
        self._journal = journal
        self._traffic = traffic
        self._ledger = ledger
        self._looks = looks
        self._turns = turns
        self._hooks = hooks
        self._taking_over = taking_over
        self._waiting = waiting
        self._is_ordered = is_ordered

    async def promote(self) -> None:
        """Take the last step up, as soon as nothing stands in its way."""
        state = self._state
        if self._turns.obey():
            return
        if state.advise:
            state.advice = Action.PROMOTE
            self._turns.end(None, f"advice: promote; {state.finding_reason}")
            return
        if self._ledger.for_every_rise:
            if self._ledger.lacks() or (state.paused and self._ledger.pauses_promotion):
                await self._stand_by()
                return
            state.unmet, state.promotion_waits = [], False
        try:
            await self._traffic.shift(
                state.step_weights(len(state.spec.steps)), f"shift 100 % to {state.spec.arms.canary.version}"
            )
        except Interrupted:
            return
        bake = state.spec.promotion.bake
        if bake <= timedelta(0):
            self._turns.promoted("all traffic is on the canary; the spec asks for no bake")
            return
        now = workflow.now()
        state.bake_ends = now + bake
        state.verdicts, state.finding, state.finding_reason = [], None, ""
        state.no_data_since, state.told_no_data, state.acknowledged = None, False, []
        self._looks.begin(now, from_now=True)
        self._turns.enter(Phase.BAKING)
        self._journal.note("baking", f"watching at 100 % for {format_duration(bake)}")

    async def _stand_by(self) -> None:
        """Promotion waits for the ledger. Looks go on at today's weight: harm still rolls back, and a doubt that nobody
        promoted past still holds.
        """
        state = self._state
        state.promotion_waits = self._ledger.pauses_promotion
        due = state.next_look is not None and state.next_look <= workflow.now()
        if not due and state.paused and not self._ledger.lacks():
            state.unmet = [PAUSED]
            self._journal.show()
            await self._waiting.until(state, state.next_look)
            return
        if not due:
            within = FIRST_STEP_WAITS if state.next_look is None else None
            await self._ledger.has_it(within, summary="waiting for the ledger before promoting")
            return
        try:
            decision = await self._looks.take()
        except Interrupted:
            return
        passed_over = decision is None or (state.overridden and decision.finding == INCONCLUSIVE)
        if decision is not None and decision.action is Action.ROLL_BACK and not passed_over:
            self._turns.give_back(Outcome.ROLLED_BACK, decision.cause or Cause.ANALYSIS, decision.reason)
        elif decision is not None and decision.action is Action.HOLD and not state.overridden:
            self._turns.hold(decision.finding, decision.reason)
        else:
            state.unmet = [LACKS] if self._ledger.lacks() else [PAUSED] if state.paused else []
            self._journal.show()

    async def keep_window(self) -> None:
        """The old version stays reachable: one word restores it."""
        state = self._state
        if self._turns.obey():
            return
        if self._taking_over.unsettled:
            # After a reset: it may have been taken back since, and then nothing may be retired.
            with contextlib.suppress(Interrupted):
                await unless(self._is_ordered, self._taking_over.settle())
            return
        if state.slot_request and not state.line.waiting and state.window_ends is not None:
            # Traffic is at rest now; the window may last for days, and whoever waits for a slot should not.
            left = state.window_ends - workflow.now()
            with contextlib.suppress(Interrupted):
                await unless(lambda: self._is_ordered() or bool(state.line.waiting), Slot(state).release(left))
            return
        if not state.line.waiting and state.window_ends is not None and workflow.now() < state.window_ends:
            await self._waiting.until(state, state.window_ends, "rollback window: one word restores the old version")
            return
        retire = state.spec.hooks.retire
        if retire is not None:
            try:
                await unless(self._is_ordered, self._hooks.run_or_tell(RETIRE, retire))
            except Interrupted:
                return
        if self._taking_over.unsettled:
            # The reset went back to where the hook was called already, and it may have been taken back since.
            with contextlib.suppress(Interrupted):
                await unless(self._is_ordered, self._taking_over.settle())
            if self._is_ordered():
                return
        self._turns.end(Outcome.PROMOTED, state.reason)
