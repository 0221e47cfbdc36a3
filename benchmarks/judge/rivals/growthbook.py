"""GrowthBook: the one-sided asymptotic confidence sequence of its safe rollouts.

Source: growthbook/growthbook, ``packages/stats/gbstats/frequentist/tests.py`` (read, not copied), after Waudby-Smith,
Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences" (2103.06476),
one-sided form; tuning parameter 5000, the default. The difference in proportions is harm when its lower end is above 0.
An arm in which every request fails has no variance, and gbstats then says nothing; here the other arm's is taken alone,
in its favour.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.judge.rivals.shared import ALPHA, Proportions, first, proportions
from benchmarks.judge.traffic import Traffic, Values

TUNING = 5000


def first_rollback(traffic: Traffic, alpha: float = ALPHA) -> Values:
    """Looks after which each run is rolled back, ``NEVER`` when it is not, [S]."""
    errors, slow = (lower_end(one, alpha / 2.0) > 0.0 for one in proportions(traffic))
    return first(errors | slow)


def lower_end(counts: Proportions, alpha: float) -> Values:
    """Lower end of the difference canary - baseline; -inf while the variance of either arm is unknown."""
    a, b = counts.canary_share, counts.baseline_share
    variance = a * (1.0 - a) / np.maximum(counts.canary, 1) + b * (1.0 - b) / np.maximum(counts.baseline, 1)
    known = counts.usable & (variance > 0) & (counts.canary_events > 0) & (counts.baseline_events > 0)
    number = counts.canary + counts.baseline
    width = half_width(np.where(known, variance * number, 1.0), np.maximum(number, 1), alpha)
    return np.where(known, a - b - width, -np.inf)


def half_width(variance: Values, number: Values, alpha: float) -> Values:
    """Distance of the lower end from the estimate, of ``number`` observations with this variance each."""
    rho = mixing(2.0 * alpha)
    grown = number * rho**2 + 1.0
    result: Values = np.sqrt(
        variance * 2.0 * grown / (number * rho) ** 2 * np.log(1.0 + np.sqrt(grown) / (2.0 * alpha))
    )
    return result


def mixing(alpha: float) -> float:
    """The mixture's parameter that makes the sequence narrowest about ``TUNING`` observations."""
    return math.sqrt((-2.0 * math.log(alpha) + math.log(-2.0 * math.log(alpha) + 1.0)) / TUNING)
