"""Waiting for a moment, or for people: whatever they say wakes whoever waits, and says in the timeline what for."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from coalmine.markdown import cell
    from coalmine.records import Phase
    from coalmine.rollout import RolloutState

WAIT_LIMIT = 60
"""Characters of what a wait is for: the UI's timeline writes it beside the timer, and cuts it at the frame."""


class Waiting:
    """The waits of one run; made before a release is known, since what is said then wakes too."""

    def __init__(self) -> None:
        self.pokes = 0
        """Counts what was carried out, so that whoever waits wakes up and looks again."""

    def poke(self) -> None:
        """Wake whoever waits."""
        self.pokes += 1

    async def until(self, state: RolloutState, moment: datetime | None, summary: str = "") -> None:
        """Wait until a moment, until the route is to be read again, or until somebody said something.

        Args:
            state: Of the rollout that waits.
            moment: None: until somebody said something.
            summary: What for; empty: as ``what_for`` says.
        """
        pokes, again = self.pokes, state.reconcile_at
        moment = min((due for due in (moment, again) if due is not None), default=None)
        if moment is None:
            await workflow.wait_condition(lambda: self.pokes != pokes)
            return
        left = moment - workflow.now()
        if left <= timedelta(0):
            return
        try:
            await workflow.wait_condition(
                lambda: self.pokes != pokes, timeout=left, timeout_summary=summary or what_for(state)
            )
        except TimeoutError:
            return


def what_for(state: RolloutState) -> str:
    """What a rollout waits for before its next look."""
    what = str(state.phase)
    if state.phase is Phase.HELD:
        what = f"held: {state.held.reason}" if state.held else "held"
    elif state.paused:
        what = "paused"
    elif state.unmet:
        what = state.unmet[0]
    return f"look {state.looks + 1} at {state.canary_share():g} %: wait ({cell(what, WAIT_LIMIT)})"
