"""After a reset to the first task: the route goes back to what it was before that run, then all begins anew.

Such a run has forgotten the snapshot, the steps taken, that anything was written. The route has not, and what it shows
would only be refused as not the baseline's.
"""

from __future__ import annotations

from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.ownership import weights_text
    from coalmine.records import Watched, Weights
    from coalmine.rollout import RolloutState

from workflows.interruption import Interrupted, failure_reason, unless
from workflows.journal import Journal
from workflows.recalling import may_have_forgotten, recall
from workflows.traffic import Traffic, is_ours


class BeginningAnew:
    """Puts back what the run before left."""

    def __init__(self, state: RolloutState, journal: Journal, traffic: Traffic, ordered: Callable[[], bool]) -> None:
        self._state = state
        self._journal = journal
        self._traffic = traffic
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
        state.generation = max(state.generation, shown.generation)
        state.snapshot = shown.model_copy(update={"weights": left.rest})
        # From here on every way out leads over a restore, also the one of a rollout that is not admitted: a write of
        # the run before may still be on its way.
        state.written = True
        self._say(left, shown.weights)
        while not await self._traffic.restore():
            if self._ordered():
                raise Interrupted
        state.restored, state.restore_began, state.restore_seconds = None, None, None
        state.restore_failure, state.restore_tries, state.restore_told = "", 0, 0

    def _say(self, left: Watched, shown: Weights) -> None:
        state = self._state
        reason = (
            f"a reset began this rollout anew, and the run before ({left.run_id}) left {weights_text(shown)}: "
            f"the route goes back to {weights_text(left.rest)} first"
        )
        self._journal.note("recalled", reason, run_id=left.run_id, found=shown, rest=left.rest)
        self._journal.tell(f"{state.spec.service}: begun anew by a reset", reason, "warning", key="recalled")
