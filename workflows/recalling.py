"""What the run before a reset left on the route: the run it made has forgotten it, Temporal's histories have not."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.records import RECALL_ROUTE, Cause, Outcome, Phase, RecallRequest, Watched
    from coalmine.rollout import RolloutState

from workflows.calls import RECALL, call
from workflows.interruption import failure_reason
from workflows.journal import Journal
from workflows.patience import Patience

PATCH = "recall-at-reset"
"""Histories recorded before never asked."""


def may_have_forgotten(state: RolloutState) -> bool:
    """Whether there may have been a run before this one that wrote the route.

    A run that follows another in line has an id of its own too; its history says that no reset made it.
    """
    info = workflow.info()
    return not state.advise and info.run_id != info.first_execution_run_id and workflow.patched(PATCH)


async def recall(state: RolloutState) -> Watched | None:
    """What has to be put back; None where no reset made this run, where none before it wrote, or where it was promoted.

    What was promoted goes back to what was before it where a human says so: the window was open, or they know better.

    A rollout that has no id yet gets the one that it had.

    Raises:
        ActivityError: it cannot be told.
    """
    request = RecallRequest(context=state.context(), workflow_id=state.workflow_id, run_id=state.run_id)
    recalled = await call(RECALL_ROUTE, request, RECALL, "ask what the run before a reset left")
    left = recalled.left
    if left is None:
        return None
    # The same rollout, begun anew: the fleet will say so too, but what is told of the way back cannot wait for it.
    state.rollout_id = state.rollout_id or left.rollout_id
    if left.ended != Outcome.PROMOTED:
        return left
    return left.model_copy(update={"rest": recalled.before}) if said_by_a_human(state) else None


def said_by_a_human(state: RolloutState) -> bool:
    """Whether it goes back because somebody said so in words, not by cancelling the workflow."""
    return state.phase is Phase.ROLLING_BACK and state.cause is Cause.HUMAN and not state.cancelled


class Recollection:
    """What the run before wrote, for a restore; Temporal is asked once, and again only while it cannot tell."""

    def __init__(self, state: RolloutState, journal: Journal, patience: Patience) -> None:
        self._state = state
        self._journal = journal
        self._patience = patience
        self._left: Watched | None = None

    async def left(self) -> Watched | None:
        """What there is to put back; None as ``recall`` has it.

        Raises:
            ActivityError: it cannot be told.
        """
        self._left = self._left or await self._patience.wait_for(recall(self._state))
        return self._left

    async def was_written(self) -> bool:
        """Whether a run before this one may have written what this one does not remember; also where none can tell.

        Of a run that has taken over ``TakingOver`` says so, and nobody has to be asked.
        """
        if not may_have_forgotten(self._state):
            return False
        try:
            return await self.left() is not None
        except ActivityError as error:
            self._journal.note("recall_failed", failure_reason(error))
            return True


def took_over() -> bool:
    """Whether a reset made this run. It is so from its first task on, also in what was copied."""
    info = workflow.info()
    return info.run_id != info.original_execution_run_id
