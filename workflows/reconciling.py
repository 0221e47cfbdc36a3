"""Routers whose data plane knows no fence: an older write may come through as long as it can still be on its way.

Such a router says ``advisory``, and for how long (its lease). One lease after each write the route is read again; what
an older write left there is written over, under a higher generation, and people are told. A rollback is over only when
the route still reads back right after a lease (docs/routers.md).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.ownership import drift_of, weights_text
    from coalmine.records import Drift, Phase, RouteState
    from coalmine.rollout import RolloutState

from workflows.interruption import Interrupted, failure_reason, unless
from workflows.journal import Journal
from workflows.ledger_first import LedgerFirst
from workflows.traffic import Traffic

_OWNING = frozenset({Phase.STEPPING, Phase.GATED, Phase.HELD, Phase.BAKING, Phase.WINDOW})


class Reconciling:
    """Looks after the writes of one rollout, on a router that is advisory only."""

    def __init__(
        self,
        state: RolloutState,
        journal: Journal,
        traffic: Traffic,
        ledger: LedgerFirst,
        ordered: Callable[[], bool],
    ) -> None:
        self._state = state
        self._journal = journal
        self._traffic = traffic
        self._ledger = ledger
        self._ordered = ordered

    def due(self) -> bool:
        """Whether a lease has passed since the last write, and nobody has read the route since."""
        state = self._state
        # Where the promotion waits for the ledger it owns the route, for hours maybe.
        owning = state.phase in _OWNING or (state.phase is Phase.PROMOTING and self._ledger.for_every_rise)
        return owning and state.reconcile_at is not None and state.reconcile_at <= workflow.now()

    async def reconcile(self) -> None:
        """Read the route, and write our weights over an older write.

        Raises:
            ActivityError: they could not be written again; the state of the route is unknown.
        """
        state = self._state
        state.reconcile_at = None
        try:
            drift = drift_of(state.weights, await unless(self._ordered, self._read()))
        except Interrupted:
            return
        except ActivityError as error:
            self._journal.note("not_reconciled", failure_reason(error))
            state.reconcile_at = workflow.now() + timedelta(seconds=state.lease)
            return
        if drift is None:
            return
        self._report(drift)
        canary = state.spec.arms.canary.backend
        if not await self._ledger.may_rise(drift.weights.get(canary, 0.0), state.canary_share()):
            state.reconcile_at = workflow.now() + timedelta(seconds=state.lease)
            return
        with suppress(Interrupted):
            await self._traffic.shift(dict(state.weights), f"again: {weights_text(state.weights)}")

    async def stays_restored(self, at: datetime | None = None) -> bool:
        """After a restore: whether the route still reads back right when no older write can come any more.

        Args:
            at: When that is; None: as the state has it.
        """
        state = self._state
        if not state.lease or state.snapshot is None or not state.written:
            return True
        left = (at or state.reconcile_at or workflow.now()) - workflow.now()
        if left > timedelta(0):
            await workflow.sleep(left, summary=f"no older write comes through after {state.lease:g} s")
        try:
            drift = drift_of(state.snapshot.weights, await self._read())
        except ActivityError as error:
            self._journal.note("not_reconciled", failure_reason(error))
            state.reconcile_at = workflow.now() + timedelta(seconds=state.lease)
            return False
        if drift is None:
            state.reconcile_at = None
            return True
        self._report(drift)
        # The way back begins anew, above whatever is there.
        state.restored, state.restore_began = False, workflow.now()
        return False

    async def _read(self) -> RouteState:
        return await self._traffic.read("read back after the lease")

    def _report(self, drift: Drift) -> None:
        state = self._state
        there = weights_text(drift.weights)
        state.generation = max(state.generation, drift.generation)
        self._journal.note(
            "reconciled", f"an older write came through: {there}", found=drift.weights, generation=drift.generation
        )
        self._journal.tell(
            "An older write came through",
            f"{state.rollout_id}: the route showed {there} instead of {weights_text(state.weights)}, which is written "
            "again. The router has no fence of its own, so a worker that woke up late could write.",
            "warning",
            key=f"reconciled-{state.sequence}",
        )
