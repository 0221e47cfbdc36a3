"""The book of slots: the limit holds, order is kept, each workflow stands in it once."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from coalmine.records import FleetRequest, SlotBook
from coalmine.slot_book import ask_slot, fill, free_slot, slot_place

WORKFLOWS = [f"canary/test/{name}" for name in "abcde"]


class Book(RuleBasedStateMachine):
    """Rollouts come and go, and people change the limit."""

    def __init__(self) -> None:
        super().__init__()
        self.book = SlotBook()
        self.arrived: list[str] = []
        """Workflows in the book, in order of arrival."""
        self.request: dict[str, str] = {}
        self.count = 0

    @rule(workflow_id=st.sampled_from(WORKFLOWS), again=st.booleans())
    def ask(self, workflow_id: str, again: bool) -> None:
        """A rollout asks: a new one, or the same once more."""
        self.count += 1
        known = self.request.get(workflow_id) if again else None
        request_id = known or str(self.count)
        if workflow_id not in self.request:
            self.arrived.append(workflow_id)
        self.request[workflow_id] = request_id
        request = FleetRequest(
            verb="admit", environment="test", service="s", version="1", workflow_id=workflow_id, request_id=request_id
        )
        ask_slot(self.book, request)
        place = slot_place(self.book, request)
        assert place is not None
        assert (place.position == 0) == (workflow_id in [one.workflow_id for one in self.book.holders])

    @rule(workflow_id=st.sampled_from(WORKFLOWS), late=st.booleans())
    def release(self, workflow_id: str, late: bool) -> None:
        """One is over; a late word of an older rollout frees nothing."""
        held = self.request.get(workflow_id)
        freed = free_slot(self.book, workflow_id, "older" if late else held or "none")
        assert freed == (held is not None and not late)
        if freed:
            del self.request[workflow_id]
            self.arrived.remove(workflow_id)

    @rule(limit=st.one_of(st.none(), st.integers(1, 4)))
    def limit(self, limit: int | None) -> None:
        """A person changes it; none that runs is stopped."""
        holders = [one.workflow_id for one in self.book.holders]
        self.book.limit = limit
        fill(self.book)
        assert [one.workflow_id for one in self.book.holders][: len(holders)] == holders

    @rule()
    def carry_on(self) -> None:
        """Continue-as-new."""
        self.book = SlotBook.model_validate(self.book.model_dump(mode="json"))

    @invariant()
    def none_is_lost_and_none_stands_twice(self) -> None:
        """In order of arrival, holders first."""
        assert [one.workflow_id for one in (*self.book.holders, *self.book.waiting)] == self.arrived
        assert {one.workflow_id: one.request_id for one in (*self.book.holders, *self.book.waiting)} == self.request

    @invariant()
    def no_slot_stays_empty(self) -> None:
        """While somebody waits, all slots are taken."""
        if self.book.waiting:
            assert self.book.limit is not None
            assert len(self.book.holders) >= self.book.limit


Book.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestBook = Book.TestCase
