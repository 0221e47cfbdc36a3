"""A split period as the looks a ledger keeps, and what a rollout of the past could know of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from coalmine.backtest import history_of, read_trace
from coalmine.backtest.history import history_of_looks
from coalmine.backtest.learnt import in_stretches, known_then, look_entries
from coalmine.errors import LedgerCorrupt
from coalmine.records import LedgerEntry
from tests.backtest.traces import START, TEN, draw, errors, latency

METRICS = [errors(), latency()]


def look(period: str, number: int) -> LedgerEntry:
    return LedgerEntry(kind="look", rollout_id=period, sequence=number, at=START + number * TEN)


def test_the_ledger_teaches_what_the_trace_does() -> None:
    trace = read_trace(draw(np.random.default_rng(4), 80), "aa", METRICS)
    entries = look_entries(trace, "production/checkout/1.0/split-x", START)
    entries = [LedgerEntry.model_validate_json(entry.model_dump_json()) for entry in entries]
    assert [entry.sequence for entry in entries] == list(range(1, 81))
    assert history_of_looks(entries, METRICS) == history_of(trace, METRICS)


def test_only_what_was_stored_before_a_rollout_began_was_known() -> None:
    trace = read_trace(draw(np.random.default_rng(4), 3), "aa", METRICS)
    entries = look_entries(trace, "x", START + timedelta(hours=1))
    assert known_then(entries, START + timedelta(hours=1)) == entries
    assert known_then(entries, START + timedelta(minutes=59)) == []


@pytest.mark.parametrize("stored", [None, 5, "yesterday", "2026-03-01T12:00:00"])
def test_a_look_that_does_not_say_when_it_was_stored_is_named(stored: Any) -> None:
    entry = look("production/checkout/1.0/split-x", 7).model_copy(update={"data": {"stored": stored}})
    with pytest.raises(LedgerCorrupt, match="split-x #7: a stored look that does not say when"):
        known_then([entry], START)


def test_stretches_are_never_mixed_and_the_newest_are_kept() -> None:
    left, right = [look("a", n) for n in (1, 3, 5)], [look("b", n) for n in (2, 4, 6)]
    mixed = sorted([*left, *right], key=lambda entry: entry.at)
    assert in_stretches(mixed, 100) == [*left, *right]
    assert in_stretches(mixed, 4) == [*left, *right], "whole ones, until there are enough"
    assert in_stretches(mixed, 3) == right
    assert in_stretches([], 3) == []
