"""The fewest requests any test needs: information-theoretic lower bound for two samples.

A test that rolls back a good release with probability at most alpha, whatever the baseline's level, needs on average
at least ln(1/alpha) nats of information to find a bad one (Wald 1945). One canary request and its share of baseline
requests carry ``min_q KL(p || q) + k KL(b || q)`` nats, k baseline requests for each of the canary's; the minimum is at
the mean of the two, weighted by requests. Errors and latency are drawn independently here: their information adds up.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar

from benchmarks.judge.traffic import LOOKS, REQUESTS_PER_LOOK, Scenario, Values


def fewest_looks(scenario: Scenario, weight: float, alpha: float, looks: int = LOOKS) -> int | None:
    """Whole looks after which the information reaches ln(1/alpha); None when an hour does not suffice.

    Args:
        scenario: without noise: the first run drawn stands for all.
        weight: share of requests on the canary, strictly between 0 and 1.
        alpha: chance of a false rollback.
        looks: how many there are at most.
    """
    size = (1, looks)
    arms = scenario(np.random.default_rng(0), size, weight)
    errors = [np.broadcast_to(arm.errors, size)[0] for arm in arms]
    shares = [np.stack([rate, 1.0 - rate], axis=-1) for rate in errors]
    buckets = [arm.bucket_shares(size)[0] for arm in arms]
    per_request = sum(information(canary, baseline, weight) for canary, baseline in (shares, buckets))
    reached = np.cumsum(per_request) * REQUESTS_PER_LOOK * weight >= math.log(1.0 / alpha)
    return int(reached.argmax()) + 1 if reached.any() else None


def information(canary: Values, baseline: Values, weight: float) -> Values:
    """Nats per canary request that tell two distributions [..., B] apart, [...]."""
    ratio = (1.0 - weight) / weight
    mixed = weight * canary + (1.0 - weight) * baseline
    result: Values = _divergence(canary, mixed) + ratio * _divergence(baseline, mixed)
    return result


def _divergence(p: Values, q: Values) -> Values:
    safe = np.where(p > 0, p, 1.0)
    result: Values = np.where(p > 0, p * np.log(safe / np.where(q > 0, q, 1.0)), 0.0).sum(axis=-1)
    return result


def requests_for_proof(share: float, odds_ratio: float, weight: float, beta: float) -> float:
    """Canary requests until "at least ``odds_ratio`` times the baseline's odds" can be refuted of an equal canary.

    ln(1/beta) nats are needed on average; a request carries the least information there is between the truth and any
    pair of levels with those odds.

    Args:
        share: of events in both arms, in truth.
        odds_ratio: the limit, above 1.
        weight: share of requests on the canary, strictly between 0 and 1.
        beta: chance of a false proof.
    """
    baselines = (1.0 - weight) / weight

    def carried(log_odds: float) -> float:
        pair = np.array([log_odds + math.log(odds_ratio), log_odds])
        levels = 1.0 / (1.0 + np.exp(-pair))
        apart = _divergence(np.array([[share, 1.0 - share]]), np.stack([levels, 1.0 - levels], axis=-1))
        return float(apart[0] + baselines * apart[1])

    truth = math.log(share / (1.0 - share))
    least = minimize_scalar(carried, bounds=(truth - math.log(odds_ratio), truth), method="bounded")
    return math.log(1.0 / beta) / float(least.fun)
