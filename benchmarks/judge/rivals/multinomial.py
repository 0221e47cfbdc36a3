"""Lindon and Malek: the sequential multinomial test, which arm does each event come from?

Source: Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022). When both versions are
alike, an event belongs to the canary with the probability of its share of traffic; a Dirichlet mixture with 100 times
these probabilities is bet against it. Only the two event counts are needed. The test is two-sided; a rollback needs the
canary to have more than its share.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaln

from benchmarks.judge.rivals.shared import ALPHA, first, proportions
from benchmarks.judge.traffic import Traffic, Values

CONCENTRATION = 100.0


def first_rollback(traffic: Traffic, alpha: float = ALPHA) -> Values:
    """Looks after which each run is rolled back, ``NEVER`` when it is not, [S]."""
    fires = [
        (
            log_evidence(one.canary_events, one.canary_events + one.baseline_events, traffic.weight)
            >= math.log(2.0 / alpha)
        )
        & (one.canary_events > traffic.weight * (one.canary_events + one.baseline_events))
        for one in proportions(traffic)
    ]
    return first(fires[0] | fires[1])


def log_evidence(canary_events: Values, events: Values, share: float) -> Values:
    """ln of the mixture's likelihood over that of ``share``."""
    ours, theirs = CONCENTRATION * share, CONCENTRATION * (1.0 - share)
    rest = events - canary_events
    result: Values = (
        betaln(ours + canary_events, theirs + rest)
        - betaln(ours, theirs)
        - canary_events * np.log(share)
        - rest * np.log1p(-share)
    )
    return result
