"""Weights that somebody else changed under a running rollout: noticed at the next look, put back or asked about.

The look's collection reads the route back, so that it costs no event of its own; one that finds nothing says nothing.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from coalmine.decisions import DRIFT, restores_drift, who_changed
    from coalmine.ownership import weights_text
    from coalmine.records import Drift, RouteWatch
    from coalmine.rollout import RolloutState

from workflows.journal import Journal
from workflows.ledger_first import LedgerFirst
from workflows.traffic import Traffic


class Drifts:
    """Minds the route of one rollout at its looks."""

    def __init__(self, state: RolloutState, journal: Journal, traffic: Traffic, ledger: LedgerFirst) -> None:
        self._state = state
        self._journal = journal
        self._traffic = traffic
        self._ledger = ledger
        self._asked = self._heard = self._waits = False
        self._found: Drift | None = None
        self._learnt = 0

    def expect(self) -> None:
        """A look begins: nothing is known of the route yet."""
        self._asked, self._heard, self._found = False, False, None
        self._learnt = self._traffic.learnt

    def watch(self) -> RouteWatch | None:
        """What the look's first collection has to find on the route; None for a rollout that only advises."""
        state = self._state
        if state.advise or not state.written or self._asked or self._traffic.is_foreign:
            return None
        self._asked = True
        return RouteWatch(route=state.spec.route, weights=state.weights)

    def hear(self, found: Drift | None) -> None:
        """What a collection said of it."""
        self._heard, self._found = True, self._found or found

    @property
    def is_of_before(self) -> bool:
        """What this look found may be what a run before a reset had left: nobody changed it, and no share fits it."""
        return self._traffic.is_foreign or self._learnt != self._traffic.learnt

    async def answer(self) -> None:
        """Put our own weights back, or leave it to the decision of this look, which holds.

        Weights that somebody lowered stay low while the ledger takes nothing: the next look tries again.

        Raises:
            Interrupted: a human's order came first.
            ActivityError: our weights could not be written; the state of the route is unknown.
        """
        state, found = self._state, self._found
        if not self._heard or self.is_of_before:
            return
        if found is None:
            state.drift, state.drifts = None, 0
            self._settle()
            return
        news = state.drift != found
        state.drift, state.drifts = found, state.drifts + 1
        # Whoever writes next, a rollback too, has to go above it. What was counted meanwhile fits no share.
        state.generation = max(state.generation, found.generation)
        state.share_from = workflow.now()
        restores = restores_drift(state)
        if news or (restores and not self._waits):
            instead = f"{weights_text(found.weights)} instead of {weights_text(state.weights)}"
            reason = f"{who_changed(state, found)}: {instead}"
            then = "our own weights are written again" if restores else "a human is asked"
            self._journal.note("drift", f"{reason}; {then}", weights=found.weights, generation=found.generation)
            if restores:
                self._journal.tell(f"{state.rollout_id}: the route was changed", f"{reason}; {then}.", "warning")
        if not restores:
            return
        canary = state.spec.arms.canary.backend
        if not await self._ledger.may_rise(found.weights.get(canary, 0.0), state.canary_share()):
            # Nobody wrote again: it does not count as one more time that somebody else did.
            self._waits, state.drifts = True, state.drifts - 1
            return
        self._waits = False
        await self._traffic.shift(state.weights, f"restore {weights_text(state.weights)} after drift")
        state.drift = None
        self._settle()

    def _settle(self) -> None:
        """A word of people holds for the drift they saw, not for the next."""
        self._state.acknowledged = [finding for finding in self._state.acknowledged if finding != DRIFT]
