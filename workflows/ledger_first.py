"""No weight rises before the ledger has the decision that allows it (I4); a rollback never asks.

Whoever is about to give the canary more asks here first. While the ledger takes nothing the traffic stays as it is, and
is looked at as before: no wait is longer than the time to the next look.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from coalmine.rollout import RolloutState

from workflows.journal import Journal

PATCH = "rises-after-ledger"
"""Histories recorded before wait for the ledger only where a look lets them advance."""
BETWEEN_LOOKS = "advance-between-looks"
"""Histories recorded before do not write down an advance that no look decided, nor pause a promotion that waits."""
LACKS = "the ledger has not taken the record yet"
_SHORTEST = timedelta(seconds=1)
BESIDE_A_LOOK = timedelta(seconds=5)
"""How long a write within a look waits: the look may find harm, and that is not to be held up."""


class LedgerFirst:
    """Waits for the ledger on behalf of one rollout."""

    def __init__(self, state: RolloutState, journal: Journal, ordered: Callable[[], bool]) -> None:
        self._state = state
        self._journal = journal
        self._ordered = ordered
        self.for_every_rise = False
        """Whether all that raises the canary's share waits, as this run's history knows it."""
        self.pauses_promotion = False
        """Whether a promotion that waits can be paused."""

    def start(self) -> None:
        """Ask in a run's first task, as ``Archiving`` does, what its history knows of."""
        self.for_every_rise = workflow.patched(PATCH)
        self._journal.keeps_decisions_urgent = self.for_every_rise
        self.pauses_promotion = workflow.patched(BETWEEN_LOOKS)

    def put_down(self, reason: str) -> None:
        """Write down that the next step is due where no look says so: a clock ran out, or people spoke, between two."""
        if self.pauses_promotion and not self._state.advise:
            self._journal.note("advance_due", reason, step=self._state.step + 1)

    def lacks(self) -> bool:
        """Whether something was decided that the ledger does not have yet."""
        return self._state.urgent

    async def has_it(
        self,
        within: timedelta | None = None,
        *,
        summary: str = "waiting for the ledger before advancing",
        unless: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Wait until the ledger has all that was decided so far.

        Args:
            within: how long at most; None: until the next look.
            summary: for the timeline.
            unless: what else ends the wait.

        Returns:
            Whether it has, and no human ordered something else meanwhile.
        """
        state = self._state
        if not self.lacks():
            return True
        state.unmet = [LACKS]
        self._journal.show()
        left = within if within is not None else (state.next_look or workflow.now()) - workflow.now()
        try:
            await workflow.wait_condition(
                lambda: not self.lacks() or self._ordered() or unless(),
                timeout=max(left, _SHORTEST),
                timeout_summary=summary,
            )
        except TimeoutError:
            return False
        if self.lacks():
            return False
        state.unmet = []
        return not self._ordered()

    async def may_rise(self, above: float, share: float) -> bool:
        """Whether a write that brings the canary from ``above`` percent to ``share`` may be made within this look."""
        if not self.for_every_rise or share <= above:
            return True
        return await self.has_it(BESIDE_A_LOOK, summary="waiting for the ledger before writing the route again")
