"""After a reset: the route goes back to what it was before what the reset ended, or down to the step it went back to.

A run that was reset to its first task has forgotten the snapshot, the steps taken, that anything was written. The route
has not, and what it shows would only be refused as not the baseline's. One that was reset to a step has forgotten the
steps after it. A later rollout that runs under the same id is ended by the reset of an old one, wherever it stood.
"""

from __future__ import annotations

from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.ownership import TOLERANCE, drift_of, weights_text
    from coalmine.records import Phase, RouteState, Watched, Weights
    from coalmine.rollout import RolloutState

from workflows.interruption import Interrupted, failure_reason, unless
from workflows.journal import Journal
from workflows.recalling import may_have_forgotten, recall
from workflows.reconciling import Reconciling
from workflows.traffic import Traffic, is_ours

LOOKS_AFTER = "look-after-what-the-reset-ended"
"""Histories recorded before do not read a route again on which an older write may still have been on its way."""
_OF_ITS_RESTORE = ("snapshot", "written", "restored", "restore_began", "restore_seconds", "reconcile_at", "lease")
"""What a closed rollout says of its own way back."""


class BeginningAnew:
    """Puts back what the run before left."""

    def __init__(
        self,
        state: RolloutState,
        journal: Journal,
        traffic: Traffic,
        reconciling: Reconciling,
        ordered: Callable[[], bool],
    ) -> None:
        self._state = state
        self._journal = journal
        self._traffic = traffic
        self._reconciling = reconciling
        self._ordered = ordered
        self._begun = False

    async def put_back(self) -> None:
        """Restore what a run before a reset wrote; nothing to do in any other run.

        What cannot be told is left to the checks of admission: they refuse a route that is not the baseline's.

        Raises:
            Interrupted: a human's order came first.
        """
        if not self._begun and may_have_forgotten(self._state):
            await self.restore_what_was_left()

    async def restore_what_was_left(self, again: bool = False) -> None:
        """The same in a run that knows that a reset made it; once, unless again.

        Raises:
            Interrupted: a human's order came first.
        """
        if self._begun and not again:
            return
        self._begun, state = True, self._state
        try:
            left = await unless(self._ordered, recall(state))
            if left is None:
                return
            shown = await unless(self._ordered, self._traffic.read("read what the run before the reset left"))
            await unless(self._ordered, self._traffic.learn_lease())
        except ActivityError as error:
            why = failure_reason(error)
            self._journal.note("recall_failed", why)
            self._journal.tell(
                f"{state.spec.service}: begun anew, and nobody can say what was before",
                f"A reset may have left the canary its traffic: look at the route. Why it cannot be told: {why}",
                "warning",
                key="recall-failed",
            )
            return
        if not is_ours(shown, state):
            return
        # From here on every way out leads over a restore, also the one of a rollout that is not admitted: a write of
        # the run before may still be on its way.
        self._take(shown, left)
        reason = (
            f"a reset began this rollout anew, and the run before ({left.run_id}) left {weights_text(shown.weights)}: "
            f"the route goes back to {weights_text(left.rest)} first"
        )
        self._note(left, shown.weights, reason)
        self._journal.tell(f"{state.spec.service}: begun anew by a reset", reason, "warning", key="recalled")
        while not await self._traffic.restore():
            if self._ordered():
                raise Interrupted
        self._forget_the_restore()

    async def restore_what_a_later_one_left(self, taken: Watched) -> None:
        """Put back what a rollout left that this reset ended, whatever is ordered: nobody else is there to do it."""
        state, arms = self._state, self._state.spec.arms
        why = "its route or its arms are others than this rollout's"
        same = (taken.route, taken.baseline, taken.canary) == (
            state.spec.route,
            arms.baseline.backend,
            arms.canary.backend,
        )
        try:
            shown = await self._traffic.read("read what the rollout left that the reset ended") if same else None
            await self._traffic.learn_lease()
        except ActivityError as error:
            shown, why = None, failure_reason(error)
        if shown is None or not is_ours(shown, state):
            self._journal.tell(
                f"{taken.rollout_id}: ended by the reset of an older rollout",
                f"Its route may be left split, and it is not put back here ({why}): put {weights_text(taken.rest)} "
                "there by hand",
                "critical",
                key="ended-by-reset",
            )
            return
        own = {name: getattr(state, name) for name in _OF_ITS_RESTORE}
        self._take(shown, taken)
        reason = (
            f"the reset ended {taken.rollout_id} where it had {weights_text(shown.weights)}: the route goes back to "
            f"{weights_text(taken.rest)}"
        )
        self._note(taken, shown.weights, reason)
        self._journal.tell(
            f"{taken.rollout_id}: ended by the reset of an older rollout", reason, "critical", key="taken"
        )
        while not await self._traffic.restore() or not await self._stays_there():
            pass
        self._forget_the_restore()
        if state.phase is Phase.CLOSED:
            # How it ended stays as it was told.
            for name, value in own.items():
                setattr(state, name, value)

    async def _stays_there(self) -> bool:
        """Whether nothing came after it that the one which the reset ended still had on its way."""
        # Soon this rollout has nothing on the route, and nobody looks after the write again.
        if not self._state.lease or not workflow.patched(LOOKS_AFTER):
            return True
        # Nor does the phase meanwhile, which would say the same once more.
        at, self._state.reconcile_at = self._state.reconcile_at, None
        return await self._reconciling.stays_restored(at)

    async def come_down(self) -> None:
        """Take from the canary what the step that a reset went back to does not give it.

        What it lacks there is left to the next look: more traffic is never given unseen.
        """
        state = self._state
        canary = state.spec.arms.canary.backend
        try:
            shown = await unless(self._ordered, self._traffic.read("read what the steps after this one left"))
            readings = [shown.weights, *(proxy.weights for proxy in shown.proxies)]
            found = max(weights.get(canary, 0.0) for weights in readings)
            # What hands had given it by then waits for people, as it did.
            drifted = state.drift.weights.get(canary, 0.0) if state.drift is not None else 0.0
            if not is_ours(shown, state) or found <= max(state.canary_share(), drifted) + TOLERANCE:
                # The next look finds it, and is to know that nobody but this rollout did it.
                state.left_before = drift_of(state.weights, shown) if state.drift is None else None
                return
            # What was counted meanwhile fits no share.
            state.generation, state.share_from = max(state.generation, shown.generation), workflow.now()
            self._journal.note(
                "recalled",
                f"a reset went back to a step of {state.canary_share():g} %, and the canary had {found:g} %",
                found=shown.weights,
                rest=state.weights,
            )
            await self._traffic.shift(state.weights, f"go back to {weights_text(state.weights)} after the reset")
            state.share_from = workflow.now()
        except ActivityError as error:
            # The next look finds it, and answers by the policy of drifts.
            self._journal.note("recall_failed", failure_reason(error))

    def _take(self, shown: RouteState, left: Watched) -> None:
        """What a restore needs to know."""
        state = self._state
        state.generation = max(state.generation, shown.generation)
        state.snapshot = shown.model_copy(update={"weights": left.rest})
        state.written, state.restored = True, None

    def _forget_the_restore(self) -> None:
        """It was not this rollout's own: that one is yet to come."""
        state = self._state
        state.restored, state.restore_began, state.restore_seconds = None, None, None
        state.restore_failure, state.restore_tries, state.restore_told = "", 0, 0

    def _note(self, left: Watched, shown: Weights, reason: str) -> None:
        self._journal.note("recalled", reason, run_id=left.run_id, found=shown, rest=left.rest)
