"""A rollback in steps, where the spec asks for one: each is written and confirmed before the next is waited for.

The restore of the snapshot follows whatever becomes of the steps; a step that cannot be taken ends them.
"""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.ownership import weights_text
    from coalmine.rollout import RolloutState
    from coalmine.way_back import goes_in_steps, pause_between, steps_back

from workflows.interruption import Interrupted, failure_reason, unless
from workflows.journal import Journal
from workflows.traffic import Traffic

AT_ONCE = "the rest goes back at once"


class SteppingBack:
    """Takes the steps but the last, which is the restore."""

    def __init__(self, state: RolloutState, journal: Journal, traffic: Traffic) -> None:
        self._state = state
        self._journal = journal
        self._traffic = traffic

    async def go(self) -> None:
        """Take what steps are left; returns at once where there are none."""
        state = self._state
        if not goes_in_steps(state):
            return
        if not state.back_from:
            state.back_from = state.weights
            self._journal.note("stepping_back", f"in {state.spec.rollback.steps} steps: the baseline may be cold")
        assert state.snapshot is not None
        steps = steps_back(state.back_from, state.snapshot.weights, state.spec.rollback.steps)
        while state.back_steps < len(steps) - 1 and goes_in_steps(state):
            await self._take(steps[state.back_steps], len(steps))
        # What people are told of a slow restore is of the restore alone.
        state.restore_began = workflow.now()

    async def _take(self, weights: dict[str, float], steps: int) -> None:
        state = self._state
        number = state.back_steps + 1
        try:
            what = f"step back {number} of {steps}: {weights_text(weights)}"
            await unless(lambda: not goes_in_steps(state), self._traffic.shift(weights, what))
        except Interrupted:
            # The write may still be on its way: the restore that follows has a newer generation.
            self._journal.note("at_once", AT_ONCE)
            return
        except ActivityError as error:
            state.at_once = True
            self._journal.note("at_once", f"step back {number} could not be taken: {failure_reason(error)}")
            return
        state.back_steps = number
        state.unmet = [f"step back {number} of {steps} is taken; rollback once more gives the rest back at once"]
        self._journal.show()
        try:
            await workflow.wait_condition(
                lambda: not goes_in_steps(state),
                timeout=pause_between(state),
                timeout_summary=f"step back {number + 1} of {steps}",
            )
        except TimeoutError:
            pass
        else:
            self._journal.note("at_once", AT_ONCE)
        state.unmet = []
