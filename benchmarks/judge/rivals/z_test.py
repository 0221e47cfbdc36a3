"""The two-proportion z-test, looked at again and again: what a dashboard with a p-value does.

Source: any textbook, such as Fleiss, Levin and Paik, "Statistical Methods for Rates and Proportions"; pooled variance,
one-sided.
The level holds for one look at the end; it is used at every look, which is what is to be shown.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from benchmarks.judge.rivals.shared import ALPHA, Proportions, first, proportions
from benchmarks.judge.traffic import Traffic, Values


def first_rollback(traffic: Traffic, alpha: float = ALPHA) -> Values:
    """Looks after which each run is rolled back, ``NEVER`` when it is not, [S]."""
    limit = float(norm.isf(alpha / 2.0))
    errors, slow = (statistic(one) > limit for one in proportions(traffic))
    return first(errors | slow)


def statistic(counts: Proportions) -> Values:
    """z of canary minus baseline; 0 where either arm is empty or nothing happened yet."""
    pooled = (counts.canary_events + counts.baseline_events) / np.maximum(counts.canary + counts.baseline, 1)
    inverse = 1.0 / np.maximum(counts.canary, 1) + 1.0 / np.maximum(counts.baseline, 1)
    variance = pooled * (1.0 - pooled) * inverse
    known = counts.usable & (variance > 0)
    difference = counts.canary_share - counts.baseline_share
    result: Values = np.where(known, difference / np.sqrt(np.where(known, variance, 1.0)), 0.0)
    return result
