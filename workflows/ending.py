"""How a rollout ends: the route restored, the version banned, hooks called, the record handed over."""

from __future__ import annotations

from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.records import ASK_FLEET, Outcome, rollout_id
    from coalmine.rollout import RolloutState

from workflows.archiving import Archiving
from workflows.calls import FLEET_AFTER, call
from workflows.diagnosis import Diagnosing
from workflows.fleet_requests import fleet_request
from workflows.hooks import Hooks
from workflows.interruption import Interrupted, failure_reason
from workflows.journal import Journal
from workflows.reconciling import Reconciling
from workflows.slot import Slot
from workflows.stepping_back import SteppingBack
from workflows.taking_over import TakingOver
from workflows.traffic import Traffic
from workflows.turns import Turns


class Ending:
    """Rolls one rollout back, and closes it."""

    def __init__(
        self,
        state: RolloutState,
        journal: Journal,
        traffic: Traffic,
        turns: Turns,
        hooks: Hooks,
        diagnosing: Diagnosing,
        archiving: Archiving,
        reconciling: Reconciling,
        taking_over: TakingOver,
    ) -> None:
        self._stepping_back = SteppingBack(state, journal, traffic)
        self._state = state
        self._journal = journal
        self._traffic = traffic
        self._turns = turns
        self._hooks = hooks
        self._diagnosing = diagnosing
        self._archiving = archiving
        self._reconciling = reconciling
        self._taking_over = taking_over

    async def roll_back(self) -> None:
        """Try to restore the route; once it reads back right, do what follows, which may fail."""
        state = self._state
        await self._stepping_back.go()
        if not await self._traffic.restore() or not await self._reconciling.stays_restored():
            return
        # Where the route is another's, this release's version may be the one that serves.
        gave_back = not (state.advise or self._taking_over.lost)
        if state.ending in (Outcome.ROLLED_BACK, Outcome.REJECTED) and gave_back:
            await self._ban()
        hook = state.spec.hooks.rolled_back
        if hook is not None and gave_back and (state.written or state.prepared):
            # Interrupted: a later rollout has the route, and this version may be the one that serves.
            with suppress(Interrupted):
                await self._hooks.run_or_tell("rolled_back", hook)
        await self._diagnosing.finish()
        self._turns.end(state.ending, state.reason)

    async def close(self) -> None:
        """Hand the rest of the record over, and be done."""
        if not self._state.rollout_id:
            # It ended before the fleet gave it a number: its record goes to the ledger all the same.
            self._state.rollout_id = _id_by_run(self._state)
        await Slot(self._state).release()
        await self._diagnosing.finish()
        await self._archiving.finish()
        await self.hand_over()

    async def hand_over(self) -> None:
        """Hand over what is written and told by now, for a while; people hear of what the ledger lacks then."""
        complete = await self._journal.flush()
        lacking = len(self._state.backlog) + self._state.unwritten
        if lacking:
            self._journal.tell(
                "The ledger lacks entries",
                f"{self._state.rollout_id}: {lacking} entries are not written; the workflow history has them.",
                "critical",
                key="ledger-backlog",
            )
        await self._journal.deliver()
        if complete:
            # A message that could not be delivered is on the record too.
            await self._journal.flush()

    async def _ban(self) -> None:
        """Keep automation from starting this version again; the route is restored already, so this may fail."""
        state = self._state
        request = fleet_request(
            state,
            "ban",
            f"{state.run_id}/ban",
            by=f"rollout {state.rollout_id}",
            reason=state.reason,
            rollout_id=state.rollout_id,
        )
        try:
            await call(ASK_FLEET, request, FLEET_AFTER, f"ban {request.version}")
        except ActivityError as error:
            self._journal.note("ban_failed", failure_reason(error))
            self._journal.tell("The version could not be banned", failure_reason(error), "warning")


def _id_by_run(state: RolloutState) -> str:
    # Not this run's own id: one that a reset made goes on with the record of the run that was reset.
    spec, run_id = state.spec, workflow.info().original_execution_run_id
    return rollout_id(spec.environment, spec.service, spec.region, spec.arms.canary.version, run_id)
