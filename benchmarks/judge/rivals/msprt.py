"""mSPRT: the mixture sequential probability ratio test of difference in proportions, with a normal mixture.

Source: Johari, Koomen, Pekelis and Walsh, "Always Valid Inference: Continuous Monitoring of A/B Tests" (Operations
Research 2022), the form for two streams with plug-in variance. The mixture's deviation must be chosen beforehand; here
it is the size of the effect that matters: once the usual error share, and a third of the usual share of slow requests.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.judge.rivals.shared import ALPHA, Proportions, first, proportions
from benchmarks.judge.traffic import Traffic, Values

TAU = (0.005, 0.01)
"""Deviation of the mixture over the difference: of errors, of slow requests."""


def first_rollback(traffic: Traffic, alpha: float = ALPHA) -> Values:
    """Looks after which each run is rolled back, ``NEVER`` when it is not, [S]."""
    fires = [
        (log_ratio(one, tau) >= math.log(2.0 / alpha)) & (one.canary_share > one.baseline_share)
        for one, tau in zip(proportions(traffic), TAU, strict=True)
    ]
    return first(fires[0] | fires[1])


def log_ratio(counts: Proportions, tau: float) -> Values:
    """ln of the mixture likelihood ratio; 0 where either arm is empty or its variance is unknown."""
    a, b = counts.canary_share, counts.baseline_share
    variance = a * (1.0 - a) / np.maximum(counts.canary, 1) + b * (1.0 - b) / np.maximum(counts.baseline, 1)
    known = counts.usable & (counts.canary_events > 0) & (counts.baseline_events > 0) & (variance > 0)
    v = np.where(known, variance, 1.0)
    result = 0.5 * np.log(v / (v + tau**2)) + tau**2 * (a - b) ** 2 / (2.0 * v * (v + tau**2))
    return np.where(known, result, 0.0)
