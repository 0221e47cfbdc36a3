"""The crash guard: more than half of the canary's requests fail, and it is not that the baseline fails as well.

Neither tempered nor capped, so that one window is enough; two nulls, so that an outage of both arms rolls nothing back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coalmine.analysis import grids
from coalmine.analysis.channels import Counts
from coalmine.analysis.grids import Array
from coalmine.analysis.increments import one_sample
from coalmine.analysis.mixture import log_add, log_sum
from coalmine.analysis.trees import Capital


def ratios(margin: float) -> tuple[float, ...]:
    """Odds ratios whose likelihood the guard needs: the alternatives, and last the null, 2 or a wider margin."""
    null = max(grids.CRASH_RATIO, margin)
    return (*(null * grids.HARM_RATIOS), null)


@dataclass(frozen=True)
class Crash:
    """State of the guard, [..., K]."""

    level: Capital
    relative: Capital

    @staticmethod
    def start(shape: tuple[int, ...]) -> Crash:
        """Nothing seen."""
        return Crash(
            np.full((*shape, grids.CRASH_LEVELS.size), -np.inf), np.full((*shape, grids.HARM_RATIOS.size), -np.inf)
        )

    def fold(self, counts: Counts, likelihood: Array | None, log_weight: float) -> Crash:
        """Fold one look in; ``likelihood`` [..., 23] is the curve at ``ratios``, None while there is no baseline."""
        odds = grids.CRASH_LEVELS / (1.0 - grids.CRASH_LEVELS)
        level = log_add(self.level, log_weight) + one_sample(
            counts.canary_events, counts.canary, grids.CRASH_SHARE, odds
        )
        if likelihood is None:
            return Crash(level, self.relative)
        relative = log_add(self.relative, log_weight) + likelihood[..., :-1] - likelihood[..., -1:]
        return Crash(level, relative)

    def log_evidence(self, unspent: float, *, alone: bool = False) -> Array:
        """``ln E`` against "at most half fail, or odds at most twice the baseline's"; ``alone``: the first only."""
        cash = np.log(max(unspent, 1e-300))
        level: Array = np.logaddexp(log_sum(self.level + grids.CRASH_LEVEL_LOG_PRIOR), cash)
        if alone:
            return level
        relative = np.logaddexp(log_sum(self.relative + grids.HARM_LOG_PRIOR), cash)
        return np.minimum(level, relative)
