"""What waits for the ledger behind a long backlog, write by write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from coalmine.records import Action, LedgerEntry, LedgerWrite, Written
from tests.test_commands import NOW, make_state
from workflows import journal
from workflows.background import Rank
from workflows.journal import ENTRIES_PER_WRITE, Journal
from workflows.ledger_first import LedgerFirst


def look(number: int, action: Action) -> LedgerEntry:
    data = {"look": number, "action": str(action)}
    return LedgerEntry(kind="look", rollout_id="test/checkout/1.1.0/1", sequence=number, at=NOW, data=data)


async def writes(actions: list[Action], monkeypatch: pytest.MonkeyPatch, *, as_of_now: bool) -> list[tuple[int, bool]]:
    """Entries of each write, and whether the ledger lacked something decided once it was taken."""
    state = make_state()
    state.rollout_id = "test/checkout/1.1.0/1"
    kept = Journal(state)
    kept.keeps_decisions_urgent = as_of_now
    first = LedgerFirst(state, kept, lambda: False)
    for number, action in enumerate(actions, 1):
        state.put_by(look(number, action))
    state.urgent = True
    seen: list[tuple[int, bool]] = []
    sizes: list[int] = []

    async def when(due: Callable[[], bool], rank: Rank) -> None:
        if sizes:
            seen.append((sizes[-1], first.lacks()))
        if not due():
            raise asyncio.CancelledError

    async def call(signature: Any, request: LedgerWrite, budget: Any, summary: str) -> Written:
        sizes.append(len(request.entries))
        return Written(written=len(request.entries))

    monkeypatch.setattr(journal, "when", when)
    monkeypatch.setattr(journal, "call", call)
    with pytest.raises(asyncio.CancelledError):
        await kept._keep_ledger()
    return seen


@pytest.mark.parametrize("decided", [Action.ADVANCE, Action.PROMOTE, Action.HOLD, Action.ROLL_BACK])
async def test_a_decision_behind_a_whole_write_is_not_taken_with_it(
    monkeypatch: pytest.MonkeyPatch, decided: Action
) -> None:
    actions = [Action.CONTINUE] * ENTRIES_PER_WRITE + [decided]
    assert await writes(actions, monkeypatch, as_of_now=True) == [(ENTRIES_PER_WRITE, True), (1, False)]


async def test_looks_that_decided_nothing_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    actions = [Action.ADVANCE, *[Action.CONTINUE] * (ENTRIES_PER_WRITE + 5)]
    assert await writes(actions, monkeypatch, as_of_now=True) == [(ENTRIES_PER_WRITE, False)]


async def test_histories_recorded_before_go_on_as_they_did(monkeypatch: pytest.MonkeyPatch) -> None:
    actions = [Action.CONTINUE] * ENTRIES_PER_WRITE + [Action.ADVANCE]
    assert await writes(actions, monkeypatch, as_of_now=False) == [(ENTRIES_PER_WRITE, False)]
