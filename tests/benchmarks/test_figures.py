"""The table of figures: what was measured is in it, and what was not yet is left out."""

from __future__ import annotations

import pytest

from benchmarks import figures

TIMES = {"tries": 20, "p50": 0.8, "p95": 1.3, "max": 1.4}
FOUND = {
    "machine": {"date": "2026-01-01", "processor": "x", "cores": 2, "memory_gib": 8, "python": "3.11"},
    "rollouts": 2_000,
    "load_average": 1.0,
    "usable_s": TIMES,
    "seen_s": TIMES,
    "limit_usable_s": 1.0,
    "limit_seen_s": 2.0,
}


def test_a_changed_phase_has_its_own_figure_once_it_was_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_read", lambda name: FOUND)
    assert [row[2] for row in figures._dashboard()] == ["p95 1 s", "longest 2 s"]
    monkeypatch.setattr(figures, "_read", lambda name: {**FOUND, "phase_seen_s": {**TIMES, "max": 1.9}})
    what, figure, limit, _ = figures._dashboard()[2]
    assert "another phase until its row says so" in what
    assert len(figures._dashboard()) == 3
    assert "longest 1.9 s of 20" in figure
    assert limit == "longest 2 s"


def test_a_move_by_order_has_its_own_figure_once_it_was_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_read", lambda name: {**FOUND, "order_seen_s": {**TIMES, "max": 1.8}})
    what, figure, limit, _ = figures._dashboard()[2]
    assert "comes onto that page, sorted by weight" in what
    assert "longest 1.8 s of 20" in figure
    assert limit == "longest 2 s"
