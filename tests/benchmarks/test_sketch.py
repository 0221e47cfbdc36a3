"""The sketch beside the judge: how much proof it has to ask for, and from where that is taken."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.judge.beside_sketch import beside_sketch
from benchmarks.judge.cells import Cell
from benchmarks.judge.measure import OURS, OURS_NEW
from benchmarks.judge.results import Results
from benchmarks.sketch import BETA, measure, proof_of, proof_that_holds


@pytest.mark.parametrize("share", [0.0, 0.04, 0.05, 0.06, 0.5, 1.0])
def test_the_proof_lets_at_most_one_in_twenty_through(share: float) -> None:
    rng = np.random.default_rng(3)
    peaks = np.where(np.arange(400) < 400 * share, 4.0 + rng.random(400), rng.random(400))
    proof = proof_that_holds(peaks)
    assert np.mean(peaks >= proof) <= BETA
    assert proof >= log(1.0 / BETA)
    if share > BETA:
        # No more than is needed: the next lower one would let too many through.
        assert np.mean(peaks >= peaks[peaks < proof].max()) > BETA


def test_equal_peaks_come_through_together_or_not_at_all() -> None:
    assert np.mean(np.full(40, 5.0) >= proof_that_holds(np.full(40, 5.0))) == 0.0


def row(scenario: str, weight: float, proof: float) -> dict[str, Any]:
    return {"kind": "margin", "scenario": scenario, "weight": weight, "judges": {OURS: {"proof": proof}}}


def test_it_is_taken_from_the_margin_of_the_same_noise_and_weight() -> None:
    rows = [
        row("errors at 1.5 times the odds, bursts", 0.05, 6.0),
        row("errors at 1.5 times the odds, bursts", 0.1, 7.0),
        row("errors at 1.5 times the odds", 0.1, 8.0),
        row("slow requests at 1.5 times the odds", 0.1, 9.0),
        {"kind": "quiet", "scenario": "bursts", "weight": 0.1, "judges": {OURS: {}}},
    ]
    assert proof_of(Cell("quiet", "bursts", 0.1, 400), OURS, rows) == 7.0
    assert proof_of(Cell("quiet", "steady, 0.5 % errors", 0.1, 400), OURS, rows) == 9.0
    assert proof_of(Cell("quiet", "diurnal load", 0.1, 400), OURS, rows) == 0.0


def test_releases_without_fault_are_counted_at_that_proof() -> None:
    cell = Cell("quiet", "steady, 0.5 % errors", 0.5, 8)
    judges = measure(cell, 4, {OURS: log(1.0 / BETA), OURS_NEW: 1e9})["judges"]
    assert judges[OURS]["promoted_at_proof"] == judges[OURS]["promoted"] > 0
    assert judges[OURS_NEW]["promoted_at_proof"] == 0
    wrong = measure(Cell("margin", "errors at 1.5 times the odds", 0.5, 8), 4)["judges"][OURS]
    assert wrong["proof"] >= log(1.0 / BETA)
    assert "promoted_at_proof" not in wrong


@pytest.mark.parametrize(("wrongly", "shown"), [(20, "| 80.0 / 50.0 | **50.0 / 70.0** |"), (21, "| 80.0 / 50.0 | · |")])
def test_promotions_are_compared_only_where_both_keep_to_the_margin(tmp_path: Path, wrongly: int, shown: str) -> None:
    """The sketch's are counted at a proof that lets 5 % through: the judge must let no more through either."""
    covered = {"errors": 400, "p97": 400}
    ours = [(OURS, 320, 0), (OURS_NEW, 200, wrongly)]
    cells: dict[tuple[str, str, float], dict[str, Any]] = {
        ("quiet", "bursts", 0.1): {judge: {"promoted": good, "covered": covered} for judge, good, _ in ours},
        ("margin", "errors at 1.5 times the odds, bursts", 0.1): {judge: {"promoted": bad} for judge, _, bad in ours},
    }
    found = Results({}, 1, 2, {key: cell_of(key, judges) for key, judges in cells.items()})
    sketch: dict[str, Any] = {
        judge: {"promoted": 390, "promoted_at_proof": good, "covered": covered}
        for judge, good in ((OURS, 200), (OURS_NEW, 280))
    }
    path = tmp_path / "sketch.json"
    document = {"machine": {"date": "2026-01-01"}, "cells": [cell_of(("quiet", "bursts", 0.1), sketch)]}
    path.write_text(json.dumps(document))
    assert f"| bursts, 10% {shown}" in beside_sketch(found, path)


def cell_of(key: tuple[str, str, float], judges: dict[str, Any]) -> dict[str, Any]:
    kind, scenario, weight = key
    base = {"kind": kind, "scenario": scenario, "weight": weight, "runs": 400, "onset": 0, "bound_looks": 1}
    return base | {"judges": judges}
