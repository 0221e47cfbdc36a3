"""What is measured: one cell is a scenario at a weight, judged by us with and without history and by every rival."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from benchmarks.judge.faults import AT_THE_MARGIN, FAULTS, Fault
from benchmarks.judge.quiet_releases import DEVELOPED_ON
from benchmarks.judge.traffic import Scenario
from benchmarks.judge.unseen_releases import UNSEEN

WEIGHTS = (0.01, 0.05, 0.1, 0.5)
QUIET_RELEASES: dict[str, Scenario] = DEVELOPED_ON | UNSEEN
QUIET_RUNS, FAULT_RUNS = 400, 200
PUBLISHED_SEED = 20_261_123
"""Drawn for the published figures alone; whoever tunes the judge passes another ``--seed``."""
QUICK_SEED = 7
"""Of the slice that the tests run."""


@dataclass(frozen=True)
class Cell:
    """``kind``: quiet, fault, margin (at the no-harm margin), tolerant (a quiet one judged with a margin of 1.2)."""

    kind: str
    name: str
    weight: float
    runs: int

    @property
    def key(self) -> str:
        """What it is called in results and in its seed."""
        return f"{self.kind}/{self.name}/{self.weight:g}"

    @property
    def scenario(self) -> Scenario:
        if self.kind == "fault":
            return FAULTS[self.name].scenario
        return AT_THE_MARGIN[self.name][0] if self.kind == "margin" else QUIET_RELEASES[self.name]

    @property
    def history(self) -> Scenario:
        """The service without a release."""
        if self.kind == "fault":
            return QUIET_RELEASES[FAULTS[self.name].quiet]
        return QUIET_RELEASES[AT_THE_MARGIN[self.name][1] if self.kind == "margin" else self.name]

    @property
    def fault(self) -> Fault | None:
        return FAULTS[self.name] if self.kind == "fault" else None

    @property
    def margin(self) -> float | None:
        """Instead of that of ``spec.yaml``."""
        return 1.2 if self.kind == "tolerant" else None

    def seeds(self, seed: int) -> tuple[np.random.SeedSequence, np.random.SeedSequence]:
        """Of the release, and of the hour before it. They depend on the run's seed and the cell's key alone."""
        release, history = np.random.SeedSequence((seed, crc32(self.key.encode()))).spawn(2)
        return release, history


def all_cells() -> list[Cell]:
    """Every cell of the published table."""
    quiet = [Cell("quiet", name, weight, QUIET_RUNS) for name in QUIET_RELEASES for weight in WEIGHTS]
    faults = [Cell("fault", name, weight, FAULT_RUNS) for name in FAULTS for weight in WEIGHTS]
    tolerant = [Cell("tolerant", "autocorrelated arms", weight, QUIET_RUNS) for weight in WEIGHTS]
    margin = [Cell("margin", name, weight, QUIET_RUNS) for name in AT_THE_MARGIN for weight in WEIGHTS]
    return faults + tolerant + margin + quiet


def quick_cells() -> list[Cell]:
    """A slice for every change: small, of each kind, a few seconds."""
    return [
        Cell("quiet", "steady, 0.5 % errors", 0.1, 20),
        Cell("quiet", "gaps in one arm", 0.5, 20),
        Cell("fault", "errors 0.5 -> 1 %", 0.5, 20),
        Cell("fault", "crash", 0.05, 20),
        Cell("fault", "latency +10 %", 0.5, 20),
    ]
