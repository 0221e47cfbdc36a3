"""The state of a rollout stays small enough to be carried, however long the ledger is down."""

from __future__ import annotations

from coalmine.backlog import KEPT_BACKLOG, KEPT_COUNTS
from coalmine.records import LedgerEntry
from tests.test_commands import NOW, make_state

ONE_PAYLOAD = 2_000_000
"""Bytes; the server ends a workflow whose payload is larger."""


def make_look(number: int) -> LedgerEntry:
    buckets = [1_234] * 20
    arm = {"total": 24_680, "buckets": buckets}
    counts = [{"metric": f"metric-{n}", "canary": arm, "baseline": arm, "bounds": [0.1] * 19} for n in range(4)]
    data = {"look": number, "from": NOW.isoformat(), "to": NOW.isoformat(), "action": "continue", "counts": counts}
    return LedgerEntry(
        kind="look", rollout_id="test/checkout/1.1.0/1", sequence=number, at=NOW, reason="waits " * 20, data=data
    )


def test_a_short_outage_loses_nothing() -> None:
    state = make_state()
    for number in range(1, KEPT_COUNTS + 1):
        state.put_by(make_look(number))
    assert [entry.sequence for entry in state.backlog] == list(range(1, KEPT_COUNTS + 1))
    assert all("counts" in entry.data for entry in state.backlog)


def test_an_endless_outage_loses_counts_first_then_looks_never_decisions() -> None:
    state = make_state()
    total = 2 * KEPT_BACKLOG
    for number in range(1, total + 1):
        entry = make_look(number)
        state.put_by(entry.model_copy(update={"kind": "command", "data": {}}) if number % 100 == 0 else entry)
    assert len(state.backlog) == KEPT_BACKLOG
    assert state.unwritten == total - KEPT_BACKLOG
    assert sum(entry.kind == "command" for entry in state.backlog) == total // 100
    with_counts = [entry.sequence for entry in state.backlog if "counts" in entry.data]
    assert all(number > total - KEPT_COUNTS for number in with_counts)
    assert [entry.sequence for entry in state.backlog] == sorted(entry.sequence for entry in state.backlog)
    assert len(state.model_dump_json()) < ONE_PAYLOAD


def test_a_flood_of_refused_words_pushes_no_decision_out() -> None:
    state = make_state()
    for number in range(1, 2 * KEPT_BACKLOG + 1):
        kind = "command" if number % 100 == 0 else "refused"
        state.put_by(make_look(number).model_copy(update={"kind": kind, "data": {}}))
    assert len(state.backlog) == KEPT_BACKLOG
    assert sum(entry.kind == "command" for entry in state.backlog) == 2 * KEPT_BACKLOG // 100
    assert state.backlog[-1].sequence == 2 * KEPT_BACKLOG
