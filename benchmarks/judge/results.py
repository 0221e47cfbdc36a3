"""What was measured, by kind, scenario, weight and judge: ``benchmarks/results/judge.json`` read again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS


@dataclass(frozen=True)
class Found:
    """What one judge did in one cell."""

    runs: int
    onset: int
    bound: int | None
    figures: Mapping[str, Any]

    @property
    def rolled_back(self) -> int:
        return int(self.figures["rolled_back"])

    @property
    def rate(self) -> float:
        return self.rolled_back / self.runs

    @property
    def early(self) -> float:
        """Share of runs rolled back before the fault began."""
        return int(self.figures["early"]) / self.runs if self.onset else 0.0

    @property
    def ratio(self) -> float | None:
        """Median look of the rollback over the bound, both from the start; None when either is not within the hour."""
        median = self.figures["median_look"]
        return None if median is None or self.bound is None else median / self.bound

    @property
    def looks(self) -> int | None:
        """Median looks after the fault began, at least 0."""
        median = self.figures["median_look"]
        return None if median is None else max(0, median - self.onset)


@dataclass(frozen=True)
class Results:
    """All cells of a run; a cell that is not measured yet is None."""

    machine: Mapping[str, Any]
    seed: int
    planned: int
    cells: Mapping[tuple[str, str, float], Mapping[str, Any]]

    def found(self, kind: str, scenario: str, weight: float, judge: str) -> Found | None:
        """One judge in one cell."""
        cell = self.cells.get((kind, scenario, weight))
        if cell is None or judge not in cell["judges"]:
            return None
        return Found(cell["runs"], cell["onset"], cell["bound_looks"], cell["judges"][judge])

    def pooled(self, kind: str, scenarios: Iterable[str], weights: Iterable[float], judge: str) -> tuple[int, int]:
        """Runs rolled back, and runs, over all these cells that are measured."""
        weights = tuple(weights)
        every = [self.found(kind, name, weight, judge) for name in scenarios for weight in weights]
        there = [one for one in every if one is not None]
        return sum(one.rolled_back for one in there), sum(one.runs for one in there)


def read(path: Path = RESULTS / "judge.json") -> Results:
    """The results of the last run."""
    return from_document(json.loads(path.read_text()))


def from_document(document: Mapping[str, Any]) -> Results:
    """Results from what ``judge.json`` holds."""
    cells = {(cell["kind"], cell["scenario"], cell["weight"]): cell for cell in document["cells"]}
    return Results(document["machine"], document["seed"], document["cells_planned"], cells)
