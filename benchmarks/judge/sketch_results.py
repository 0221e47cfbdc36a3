"""What the sketch was measured at (``results/sketch.json``), what it had measured of itself, and when one is worse."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

from benchmarks.judge.measure import OURS, OURS_NEW
from benchmarks.judge.results import Found
from benchmarks.report import RESULTS

SURE = 2.0
"""Standard errors of a difference that count as one."""
BY_PROOF, IN_ALL, FOR_ALL, AS_FEW = "5 % by the proof", "5 % in all", "5 % whatever the noise", "as few as Coalmine"
"""How many releases at the no-harm margin the sketch may let through: by its proof alone; of those not rolled back
before; by the proof under all noise at once. 5 %, or as many as Coalmine where that is more; the last one: no more than
Coalmine in any case, by the proof.
"""
EQUAL = (BY_PROOF, IN_ALL, FOR_ALL, AS_FEW)
ITS_OWN_FIGURES: dict[tuple[str, str], tuple[float, float, float, float]] = {
    ("autocorrelated arms", OURS): (0.0, 3.25, 5.5, 4.5),
    ("over-dispersed", OURS_NEW): (0.0, 0.5, 0.75, 3.0),
    ("bursts", OURS_NEW): (0.25, 0.75, 1.0, 1.75),
}
"""Releases without fault rolled back, in % of 400 runs, at weights 1 / 5 / 10 / 50 %, when the sketch was made."""
RUNS_THEN = 400


@dataclass(frozen=True)
class Sketch:
    """The measured cells, by kind, scenario and weight."""

    date: str
    cells: Mapping[tuple[str, str, float], Mapping[str, Any]]

    def found(self, kind: str, scenario: str, weight: float, judge: str) -> Found | None:
        """What the sketch did in a cell where it is to be set beside this judge: with a history, or new."""
        cell = self.cells.get((kind, scenario, weight))
        return None if cell is None else Found(cell["runs"], 0, None, cell["judges"][judge])

    def every(self, kind: str) -> Iterator[tuple[str, float]]:
        """Scenario and weight of the cells of a kind, as they were measured."""
        return ((scenario, weight) for one, scenario, weight in self.cells if one == kind)


def read(path: Path = RESULTS / "sketch.json") -> Sketch | None:
    """The last run; None while nothing is measured."""
    if not path.exists():
        return None
    document = json.loads(path.read_text())
    cells = {(cell["kind"], cell["scenario"], cell["weight"]): cell for cell in document["cells"]}
    return Sketch(document["machine"]["date"], cells)


def surely_less(less: float, runs: int, more: float, others: int) -> bool:
    """The one share, of so many runs, is below the other by more than chance explains."""
    error = sqrt(less * (1.0 - less) / runs + more * (1.0 - more) / others)
    return more - less > SURE * error


def surely_fewer(only_these: int, only_those: int) -> bool:
    """The same of runs that both judged, from those in which they disagree (McNemar 1947)."""
    return only_those - only_these > SURE * sqrt(only_these + only_those)


def apart(promotions: Mapping[str, Any]) -> tuple[int, int]:
    """Runs that only Coalmine promotes, and that only the sketch does."""
    return int(promotions["only_coalmine"]), int(promotions["only_sketch"])
