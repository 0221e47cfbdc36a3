"""A rollout's slot: it waits for one at admission, and gives it back when it is over.

A rollback asks for none and waits for none. The fleet's side is ``workflows.slots``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.freezing import bars
    from coalmine.records import ASK_FLEET, Check, FleetAnswer, FleetRequest, SlotPlace
    from coalmine.rollout import RolloutState
    from coalmine.slot_book import slot_text, waits_for_slot

from workflows.calls import FLEET, SLOT_RELEASE, SLOT_RELEASE_WITHIN, call
from workflows.fleet_requests import fleet_request
from workflows.interruption import Interrupted, unless
from workflows.journal import Journal

ASK_AGAIN = timedelta(minutes=5)
"""A rollout that waits hears of every change; should one be lost, it asks."""


class Slot:
    """What a rollout knows of its slot."""

    def __init__(self, state: RolloutState) -> None:
        self._state = state

    def hear(self, answer: FleetAnswer) -> None:
        """Take where the fleet says it stands."""
        if answer.slot is None:
            return
        submission = self._state.submission
        barred = (answer.ban is not None and submission.automated) or bars(answer.freeze, submission)
        # A version that may not start does not wait either; what the fleet keeps for it is given back at the end.
        self._state.slot, self._state.slot_request = None if barred else answer.slot, answer.request_id

    async def wait(self, request: FleetRequest, ordered: Callable[[], bool], journal: Journal) -> None:
        """Wait until it has a slot.

        Raises:
            Interrupted: a human's order came first.
        """
        state, shown = self._state, ""
        while (place := waits_for_slot(state)) is not None:
            if ordered():
                raise Interrupted
            if not shown:
                journal.note("slot", slot_text(place), limit=place.limit)
            shown = slot_text(place)
            state.unmet = [shown]
            journal.show()
            try:
                await workflow.wait_condition(
                    partial(self._moved, place, ordered), timeout=ASK_AGAIN, timeout_summary=f"{shown}; ask again"
                )
            except TimeoutError:
                await unless(ordered, call(ASK_FLEET, request, FLEET, "ask the fleet: is a slot free"))
        if shown:
            state.unmet = []
            journal.show()
        if state.slot is not None and state.slot.limit is not None:
            state.checks.append(Check(ok=True, name="slot", reason=f"it has one of {state.slot.limit}"))

    def _moved(self, seen: SlotPlace, ordered: Callable[[], bool]) -> bool:
        return ordered() or waits_for_slot(self._state) != seen

    async def release(self, within: timedelta = timedelta(0)) -> None:
        """Give the slot back, trying for some seconds or ``within``, whichever is longer.

        Failing that, the fleet finds out by itself once this workflow has ended.
        """
        state = self._state
        if not state.slot_request:
            return
        request = fleet_request(state, "release", state.slot_request, rollout_id=state.rollout_id)
        try:
            budget = replace(SLOT_RELEASE, total=max(SLOT_RELEASE_WITHIN, within))
            await call(ASK_FLEET, request, budget, "give the slot back")
        except ActivityError as error:
            workflow.logger.warning("slot not given back", extra={"why": str(error.cause)})
        state.slot_request, state.slot = "", None
