"""How many rollouts run at once in an environment: the fleet's side, a rollout's is ``workflows.slot``.

A rollout that can give its slot back no more (it was terminated) loses it when somebody waits: the fleet then looks
which holders still run.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.markdown import cell
    from coalmine.records import (
        CHECK_FLIGHT,
        FleetRequest,
        FlightCheck,
        SlotBook,
        SlotLimit,
        SlotPlace,
    )
    from coalmine.slot_book import ask_slot, fill, free_slot, slot_place

from workflows.calls import FLIGHT, call

LOOK_FOR_DEAD = timedelta(seconds=60)
"""While somebody waits for a slot: how often the fleet looks whether those who hold one still run."""
NEXT_LOOKED_AT = 50
"""Of those that wait, the first so many are looked at too: a dead one would get a slot only to lose it."""
TOLD_OF_ARRIVALS = 20
"""A longer line hears of an arrival with the next change only: each would cost a signal per waiting one."""
KEPT_RELEASED = 500
"""Requests remembered as over."""
SHOWN = 10
"""Names of a row on the page."""


class Slots:
    """The book, and answers to those whose place in it changed."""

    def __init__(self, book: SlotBook, to_answer: list[FleetRequest]) -> None:
        self._book = book
        self._to_answer = to_answer
        self._look_at: datetime | None = None

    async def idle(self, busy: Callable[[], bool]) -> None:
        """Wait until there is something to do; while rollouts wait for a slot, free those whose holder is dead."""
        while not busy():
            if not self._book.waiting:
                self._look_at = None
                await workflow.wait_condition(lambda: busy() or bool(self._book.waiting))
                continue
            # Kept over what comes between: a fleet that is asked all the time looks no less often.
            self._look_at = self._look_at or workflow.now() + LOOK_FOR_DEAD
            left = max(self._look_at - workflow.now(), timedelta(seconds=1))
            try:
                await workflow.wait_condition(
                    busy, timeout=left, timeout_summary="look whether those with a slot still run"
                )
            except TimeoutError:
                self._look_at = None
                await self._bury()

    def ask(self, request: FleetRequest) -> SlotPlace | None:
        """Where a request stands, once it is in the book; None where none is wanted."""
        if not request.wants_slot or request.request_id in self._book.released:
            return None
        before = list(self._book.waiting)
        ask_slot(self._book, request)
        if len(before) < len(self._book.waiting) <= TOLD_OF_ARRIVALS:
            self._tell(before)
        return slot_place(self._book, request)

    def release(self, request: FleetRequest) -> None:
        """Free the slot, or the place, of a rollout that is over."""
        before = list(self._book.waiting)
        free_slot(self._book, request.workflow_id, request.request_id)
        # A question of the same rollout may still be on its way: it must not come back into the book.
        self._book.released = [*self._book.released, request.request_id][-KEPT_RELEASED:]
        self._tell(before)

    def limit(self, given: SlotLimit) -> None:
        """Set how many may run at once."""
        before, book = list(self._book.waiting), self._book
        book.limit, book.set_by, book.reason, book.set_at = given.limit, given.by, given.reason, workflow.now()
        fill(book)
        self._tell(before)

    def tell_waiting(self) -> None:
        """Answer all that wait: what they wait for may no longer be."""
        self._to_answer += self._book.waiting

    def page(self) -> str:
        """A line for the fleet's page; nothing where nobody ever asked."""
        book = self._book
        if book.limit is None and not book.holders:
            return ""
        most = "no limit" if book.limit is None else f"at most {book.limit} at once"
        rows = [("running", book.holders), ("waiting", book.waiting)]
        said = [f"{len(row)} {name}{': ' if row else ''}{_names(row)}" for name, row in rows]
        return f"\n\n**Slots** ({most}): {'; '.join(said)}"

    def _tell(self, before: list[FleetRequest]) -> None:
        """Answer those again that waited and stand elsewhere now."""
        now = [one.request_id for one in self._book.waiting]
        held = {one.request_id for one in self._book.holders}
        for place, one in enumerate(before):
            moved = one.request_id in now and (len(now) != len(before) or now.index(one.request_id) != place)
            if moved or one.request_id in held:
                self._to_answer.append(one)

    async def _bury(self) -> None:
        """Free what is held by workflows that no longer run."""
        looked_at = (*self._book.holders, *self._book.waiting[:NEXT_LOOKED_AT])
        asked = {one.workflow_id: one.request_id for one in looked_at}
        environment = self._book.waiting[0].environment if self._book.waiting else ""
        check = FlightCheck(environment=environment, workflow_ids=list(asked))
        try:
            found = await call(CHECK_FLIGHT, check, FLIGHT, f"do {len(asked)} rollouts still run?")
        except ActivityError as error:
            workflow.logger.warning("slots were not checked", extra={"why": str(error.cause)})
            return
        before = list(self._book.waiting)
        for workflow_id in found.gone:
            # Not what a newer rollout of that workflow asked for while the answer was on its way.
            free_slot(self._book, workflow_id, asked[workflow_id])
        self._tell(before)


def _names(row: list[FleetRequest]) -> str:
    names = [cell(f"{one.service} {one.version}", 60) for one in row[:SHOWN]]
    return ", ".join([*names, "…"] if len(row) > SHOWN else names)
