"""A run that a reset made takes over in the middle: before it goes on, it learns what the run before left on the route.

Up to the task it was reset to its history is a copy, which has to be replayed as it was. So each task asks whether the
history knows that it took over there: none of those that were copied does, and the first one of its own does. Where the
run that was reset had been made by a reset too, its own question may have been copied with its answer: that one settles
what waited for it, as it did then, and the run goes on looking for the first task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

from temporalio import workflow
from temporalio.exceptions import ActivityError, RetryState

with workflow.unsafe.imports_passed_through():
    from coalmine.ownership import RESET_IN_WINDOW
    from coalmine.records import RECALL_ROUTE, Outcome, Phase, Recalled, RecallRequest, Verb, Watched
    from coalmine.rollout import RolloutState

from workflows.calls import RECALL, call
from workflows.interruption import Interrupted, drop, failure_reason, unless
from workflows.journal import Journal
from workflows.recalling import said_by_a_human, took_over

PATCH = "took-over"
"""With the answers that were copied (where there are any) and the length of the history at the task: what a task of the
run before said is no answer to a later one."""

BACK_AT_ONCE = "back-at-once-after-reset"
"""Histories recorded before go on with the steps of a rollback where the reset went back to one."""
DRIFTED_TOO = "come-down-though-drifted"
"""Histories recorded before left a route alone that hands had changed at the task."""
ENDED_ONE_TOO = "put-back-what-the-reset-ended"
"""Histories recorded before did not ask where the rollout was closed, nor saw to a later one where it only advised."""

NOT_BACK = (Outcome.PROMOTED, RESET_IN_WINDOW)
WENT_BACK = frozenset(Outcome) - {Outcome.PROMOTED}
"""How a run ended by itself that had put its route back."""

ASK_AGAIN = timedelta(seconds=10)
"""Between two tries to learn whose the route is; the rollout writes nothing meanwhile."""


class Hands(Protocol):
    """What is done to the route of a run that a reset made."""

    async def restore_what_was_left(self, again: bool) -> None:
        """Put back what the run before left, and leave alone what is not ours.

        Args:
            again: A run that was copied may have done so already, and it has to be done all the same.

        Raises:
            Interrupted: a human's order came first.
        """
        ...

    async def restore_what_a_later_one_left(self, taken: Watched) -> None:
        """Put back what a later rollout left that the reset ended."""
        ...

    async def come_down(self) -> None:
        """Take from the canary what the step that the reset went back to does not give it.

        Raises:
            Interrupted: a human's order came first.
        """
        ...


class TakingOver:
    """Learns once whose the route is, and has put back what a run forgot; nothing writes before."""

    def __init__(self, state: RolloutState, journal: Journal) -> None:
        self._state = state
        self._journal = journal
        self._task: asyncio.Task[None] | None = None
        self._settled = not took_over()
        if not self._settled:
            # Of another reset, that was carried here: words that are heard again come before this one is known.
            state.reset_at = None
        self._copied = 0
        """Answers that runs before this one were given."""
        self.lost = ""
        """Why the route is another's: this run writes nothing more. Empty while it may."""

    @property
    def took_over(self) -> bool:
        """Whether it has, or one that was copied had: a write that it does not remember may be on its way.

        Never in what was copied from a run that no reset made: it has to be replayed as it was.
        """
        return took_over() and not self._state.advise and (self._settled or bool(self._copied))

    @property
    def learnt(self) -> int:
        """How often it was learnt, here and in what was copied, whose the route is: what was read before is no news."""
        return self._copied + self._settled

    @property
    def stops(self) -> bool:
        """Whether there is nothing left to go on with, and that has not been obeyed yet."""
        return bool(self.lost) and self._state.phase not in (Phase.ROLLING_BACK, Phase.CLOSED)

    def start(self, hands: Hands, poke: Callable[[], None]) -> None:
        """Begin to ask; ``hands`` do to the route what follows, and ``poke`` wakes whoever waits for people."""
        if not self._settled:
            self._task = asyncio.create_task(self._watch(hands, poke))

    def stop(self) -> None:
        """The run ends."""
        if self._task is not None:
            drop(self._task)

    @property
    def unsettled(self) -> bool:
        """Whether it has to be waited for: never in what was copied, nor in a run that no reset made."""
        return not self._settled and asyncio.current_task() is not self._task and self._is_own_task()

    async def settle(self) -> None:
        """Wait until it is known whose the route is, and what was left is put back."""
        while self.unsettled:
            copied = self._copied
            await workflow.wait_condition(lambda copied=copied: self._settled or self._copied != copied)  # type: ignore[misc]

    async def _watch(self, hands: Hands, poke: Callable[[], None]) -> None:
        while not self._settled:
            while not self._is_own_task():
                seen = _length()
                await workflow.wait_condition(lambda seen=seen: _length() != seen)  # type: ignore[misc]
            since, copied = workflow.now(), False
            try:
                copied = await self._take_over(hands)
            finally:
                self._copied += copied
                if not copied:
                    # Only now: a question that is still open may be one that was copied, of an earlier reset.
                    self._state.reset_at = since
                self._settled = not copied
                poke()

    async def _take_over(self, hands: Hands) -> bool:
        """Whether it was a run before this one that did, so that this one still has to."""
        state = self._state
        if state.phase is Phase.CLOSED and not workflow.patched(ENDED_ONE_TOO):
            return False
        recalled = await self._ask()
        if recalled is None:
            return False
        if self.lost or state.phase is Phase.CLOSED:
            # It has nothing of its own on the route; a later one may have, which this reset has ended.
            if recalled.taken is not None:
                await self._see_to(recalled.taken, hands)
            return recalled.run_id not in ("", state.run_id)
        # The same rollout: its record goes on where it is, also where it ends before the fleet says its number again.
        state.rollout_id = state.rollout_id or recalled.rollout_id
        if state.advise and (recalled.taken is None or not workflow.patched(ENDED_ONE_TOO)):
            return recalled.run_id not in ("", state.run_id)
        if why := self._why_lost(recalled):
            if recalled.taken is not None:
                await hands.restore_what_a_later_one_left(recalled.taken)
            self._lose(why, "" if recalled.taken is None else ", and was ended by the reset")
            return recalled.run_id not in ("", state.run_id)
        if recalled.left is not None and state.phase is Phase.ROLLING_BACK and workflow.patched(BACK_AT_ONCE):
            # The run before may have gone further back: the next step would give the canary traffic again, unseen.
            state.at_once = True
        # At the gate before its first step it has nothing on the route but what it put back.
        has_a_share = state.written and state.step >= 0
        if recalled.left is not None and state.phase is not Phase.ROLLING_BACK:
            with suppress(Interrupted):  # The order restores it.
                if not has_a_share:
                    await hands.restore_what_was_left(bool(self._copied))
                elif (state.drift is None or workflow.patched(DRIFTED_TOO)) and not self._is_shifting():
                    await hands.come_down()
        return recalled.run_id not in ("", state.run_id)

    async def _see_to(self, taken: Watched, hands: Hands) -> None:
        """Put it back, also in a run that had lost the route already in what was copied."""
        lost, self.lost = self.lost, ""
        try:
            await hands.restore_what_a_later_one_left(taken)
        finally:
            self.lost = lost
        if self._state.phase is not Phase.CLOSED:
            self._let_go()

    async def _ask(self) -> Recalled | None:
        """What the run before left, for as long as it takes to learn.

        Returns:
            None where nobody will ever be able to tell, and where nobody could while the rollout is to go back: a
            rollback does not wait for it once it has failed.
        """
        state, told = self._state, False
        request = RecallRequest(context=state.context(), workflow_id=state.workflow_id, run_id=state.run_id)
        while True:
            asked = call(RECALL_ROUTE, request, RECALL, "ask what the run before the reset left")
            try:
                return await (unless(self._goes_back, asked) if told else asked)
            except Interrupted:
                return None
            except ActivityError as error:
                if not told:
                    self._journal.note("recall_failed", failure_reason(error))
                if error.retry_state is RetryState.NON_RETRYABLE_FAILURE:
                    return None
                if not (told or self._goes_back()):
                    self._tell(failure_reason(error))
            told = True
            with suppress(TimeoutError):
                again = "nobody can tell yet what the run before the reset left: ask again"
                await workflow.wait_condition(self._goes_back, timeout=ASK_AGAIN, timeout_summary=again)
            if self._goes_back():
                return None

    def _goes_back(self) -> bool:
        state = self._state
        ordered = state.order is not None and state.order.verb is not Verb.PROMOTE
        return ordered or state.cancelled or state.phase is Phase.ROLLING_BACK

    def _tell(self, why: str) -> None:
        self._journal.tell(
            f"{self._state.spec.service}: nobody can say yet what was before the reset",
            f"The route stays as it is until it can be told what the run before left there; rollback works. Why: {why}",
            "warning",
            key="recall-waits",
        )

    def _is_own_task(self) -> bool:
        which = f"{self._copied}-" if self._copied else ""
        return workflow.patched(f"{PATCH}-{which}{_length()}")

    def _why_lost(self, recalled: Recalled) -> str:
        state = self._state
        if recalled.later:
            return f"{recalled.later} has written the route since"
        ended = recalled.left.ended if recalled.left is not None else ""
        ordered = state.order is not None and state.order.verb is not Verb.PROMOTE
        went_back = ended in WENT_BACK or (state.phase is Phase.WINDOW and ended not in ("", *NOT_BACK))
        if state.phase in (Phase.BAKING, Phase.WINDOW) and went_back and not ordered:
            # Nothing more is written before it is promoted: it would be, with the old version serving.
            return "it was rolled back since"
        promoted = ended == Outcome.PROMOTED
        if promoted and state.outcome is not Outcome.PROMOTED and not (ordered or said_by_a_human(state)):
            return "it was promoted, and its rollback window is over"
        return ""

    def _is_shifting(self) -> bool:
        """The step is on its way to the route, and says itself what is to stand there."""
        state = self._state
        return state.phase is Phase.PROMOTING or (state.phase is Phase.STEPPING and state.step_started is None)

    def _lose(self, why: str, ended: str) -> None:
        self.lost = f"a reset goes back to a time that is over: {why}{ended or '; the route stays as it is'}"
        self._let_go()
        self._journal.note("overtaken", self.lost)

    def _let_go(self) -> None:
        state = self._state
        state.written, state.snapshot, state.weights, state.reconcile_at = False, None, {}, None


def _length() -> int:
    return workflow.info().get_current_history_length()
