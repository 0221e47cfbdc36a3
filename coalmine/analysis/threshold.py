"""Plain limits of a query's answer, and how many looks may fail: no statistics, for those who want none.

It has no part in the evidence and none in alpha: a limit that is broken is a fact, and how often noise alone breaks
it is for whoever chose it to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coalmine.analysis.channels import Pace
from coalmine.analysis.grids import Array, Mask, Numeric
from coalmine.analysis.metrics import Fact, Weighed
from coalmine.analysis.readings import Reading, significant
from coalmine.analysis.sentences import amount, number
from coalmine.analysis.tempering import Weighing
from coalmine.analysis.trees import Count, Sum
from coalmine.analysis.windows import Bounds, MetricWindow
from coalmine.spec.metrics import Limits

_LARGEST = 1e38
"""Answers are kept as 32-bit floats."""


@dataclass(frozen=True)
class Answers:
    """What the query answered, [S]; ``present`` False = nothing."""

    value: Numeric
    present: Mask


@dataclass(frozen=True)
class ThresholdState:
    """State of a threshold, each [S]."""

    looks: Count
    failed: Count
    row: Count
    """Failed looks in a row, up to the last."""
    inside: Count
    """1 when the last answer was within the limits."""
    last: Sum


@dataclass(frozen=True)
class ThresholdMetric:
    """Limits, both inclusive."""

    limits: Limits
    suffix: str = ""
    margin: float | None = None
    counts = Answers

    def start(self, size: int, bounds: Bounds = ()) -> ThresholdState:
        """Nothing seen, for ``size`` runs."""
        return ThresholdState(*(np.zeros(size) for _ in range(5)))

    def update(self, state: ThresholdState, counts: Answers, pace: Pace) -> ThresholdState:
        """Count one look."""
        value, present = np.asarray(counts.value, float), np.asarray(counts.present, bool)
        low = -np.inf if self.limits.min is None else self.limits.min
        high = np.inf if self.limits.max is None else self.limits.max
        inside = (value >= low) & (value <= high)
        failed = present & ~inside
        return ThresholdState(
            looks=state.looks + present,
            failed=state.failed + failed,
            row=np.where(present, np.where(failed, state.row + 1.0, 0.0), state.row),
            inside=np.where(present, inside, state.inside),
            last=np.where(present, np.clip(value, -_LARGEST, _LARGEST), state.last),
        )

    def weighing(self, state: ThresholdState, unspent: float) -> Weighing[Weighed]:
        """Facts only, and no bets."""
        yield ()
        none: Array = np.zeros(state.looks.shape)
        broken = (state.row if self.limits.consecutive else state.failed) >= self.limits.failures
        return Weighed(none, none, None, none, fact=Fact(broken, (state.inside > 0) & ~broken))

    def take(
        self, bounds: Bounds, window: MetricWindow, share: float | None, reason: str
    ) -> tuple[Bounds, Answers, str]:
        """One run's answer as a batch of one."""
        return bounds, Answers(np.array([window.value]), np.array([not reason])), reason

    def seen(self, state: ThresholdState) -> None:
        """Requests seen: an answer says nothing of those."""

    def read(self, names: Sequence[str], state: ThresholdState, weighed: Weighed, alpha: float) -> list[Reading]:
        """What one run shows."""
        return [self._reading(names[0], state, alpha)]

    def _reading(self, name: str, state: ThresholdState, alpha: float) -> Reading:
        """The last answer, the limits, and how many looks failed."""
        limits = [
            f"{side} {amount(limit, self.suffix)}"
            for side, limit in (("at least", self.limits.min), ("at most", self.limits.max))
            if limit is not None
        ]
        looks, failed = int(state.looks[0]), int(state.failed[0])
        value = significant(float(state.last[0])) if looks else None
        shown = "no answer yet" if value is None else amount(value, self.suffix)
        failures = f"{number(failed)} of {number(looks)} looks failed"
        if self.limits.consecutive:
            failures += f", {number(int(state.row[0]))} in a row"
        most = f"{number(self.limits.failures)}{' in a row' if self.limits.consecutive else ''}"
        text = f"{name}: {shown}, {' and '.join(limits)} allowed; {failures}, {most} are too many"
        return Reading(text, None, None, None, value, lowest=np.inf, proof=": within the limits")
