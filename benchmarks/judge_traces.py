"""Seeded traces of two arms, one look each 10 s at 200 requests a second, and the fewest requests any test would need.

Every rate and shift is drawn per run and look; counts follow from them as binomials and multinomials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Values = NDArray[Any]

REQUESTS_PER_LOOK = 2000
LOOKS = 360
MINUTE = 6
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MEDIAN, SPREAD = 0.08, 0.6


@dataclass(frozen=True)
class Levels:
    """What a scenario gives each arm: error rate, log shift of the latency, and how many times wider it spreads.

    Each broadcasts to [S, T].
    """

    errors: Values
    shift: Values
    width: float = 1.0


@dataclass(frozen=True)
class Trace:
    """Counts of both arms: requests and errors [S, T], requests per bucket [S, T, B]."""

    canary: Values
    canary_errors: Values
    canary_buckets: Values
    baseline: Values
    baseline_errors: Values
    baseline_buckets: Values


Scenario = Callable[[np.random.Generator, tuple[int, int]], tuple[Levels, Levels]]
"""Canary and baseline."""


def draw(scenario: Scenario, weight: float, runs: int, seed: int, looks: int = LOOKS) -> Trace:
    """``runs`` traces with ``weight`` (0-1) of the requests on the canary."""
    rng = np.random.default_rng(seed)
    size = (runs, looks)
    canary_levels, baseline_levels = scenario(rng, size)
    canary = rng.binomial(REQUESTS_PER_LOOK, weight, size=size)
    arms = []
    for requests, levels in ((canary, canary_levels), (REQUESTS_PER_LOOK - canary, baseline_levels)):
        errors = rng.binomial(requests, np.broadcast_to(np.clip(levels.errors, 0.0, 1.0), size))
        shares = bucket_shares(np.broadcast_to(levels.shift, size), levels.width)
        arms.append((requests, errors, rng.multinomial(requests, shares)))
    return Trace(*arms[0], *arms[1])


def bucket_shares(shift: Values, width: float = 1.0) -> Values:
    """Share of requests in each bucket, [..., B]: log-normal latency, ``width`` times as wide above the median."""
    distance = np.log(BOUNDS) - np.log(MEDIAN) - np.asarray(shift)[..., None]
    upper = norm.cdf(distance / np.where(distance > 0, SPREAD * width, SPREAD))
    edges = np.concatenate([np.zeros((*upper.shape[:-1], 1)), upper, np.ones((*upper.shape[:-1], 1))], axis=-1)
    return np.diff(edges, axis=-1)


def autoregressive(rng: np.random.Generator, size: tuple[int, int], rho: float, deviation: float) -> Values:
    """Stationary noise, [S, T]."""
    noise = rng.standard_normal(size)
    for look in range(1, size[1]):
        noise[:, look] = rho * noise[:, look - 1] + np.sqrt(1.0 - rho**2) * noise[:, look]
    return deviation * noise


def _episode(rng: np.random.Generator, size: tuple[int, int], length: int) -> Values:
    start = rng.integers(0, max(size[1] - length, 1), size[0])[:, None]
    look = np.arange(size[1])
    return (look >= start) & (look < start + length)


# ----------------------------------------------------------------------------------- releases without fault


def steady(rate: float) -> Scenario:
    """The same constant rate in both arms."""

    def levels(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Levels, Levels]:
        one = Levels(np.array(rate), np.array(0.0))
        return one, one

    return levels


def shared_shocks(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Levels, Levels]:
    """Rate and latency wander together in both arms, with a tenfold spike of three minutes."""
    spike = _episode(rng, size, 3 * MINUTE)
    errors = 0.005 * np.exp(autoregressive(rng, size, 0.9, 0.5)) * np.where(spike, 10.0, 1.0)
    both = Levels(errors, autoregressive(rng, size, 0.9, 0.1) + np.where(spike, 0.4, 0.0))
    return both, both


def shared_outage(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Levels, Levels]:
    """A dependency dies: 60 to 100 % of the requests of both arms fail for five minutes."""
    share = rng.uniform(0.6, 1.0, (size[0], 1))
    both = Levels(np.where(_episode(rng, size, 5 * MINUTE), share, 0.005), np.array(0.0))
    return both, both


def overdispersed(canary: float, baseline: float) -> Scenario:
    """Each arm's rate is redrawn at each look (coefficient of variation 50 %), and so is its latency (3 %)."""

    def levels(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Levels, Levels]:
        arms = [
            Levels(rate * rng.gamma(4.0, 0.25, size), 0.03 * rng.standard_normal(size)) for rate in (canary, baseline)
        ]
        return arms[0], arms[1]

    return levels


def autocorrelated(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Levels, Levels]:
    """Each arm's rate and latency wander by themselves."""
    arms = [
        Levels(0.005 * np.exp(autoregressive(rng, size, 0.8, 0.47) - 0.11), autoregressive(rng, size, 0.8, 0.03))
        for _ in range(2)
    ]
    return arms[0], arms[1]


def bursts(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Levels, Levels]:
    """One look in a hundred of either arm has twenty times the errors."""
    arms = [Levels(0.005 * np.where(rng.random(size) < 0.01, 20.0, 1.0), np.array(0.0)) for _ in range(2)]
    return arms[0], arms[1]


# ------------------------------------------------------------------------------------------------ regressions


def regression(baseline: float, canary: Callable[[Values], Values], shift: float = 0.0, width: float = 1.0) -> Scenario:
    """Constant baseline; the canary's rate by look; its latency shifted (log) or spread."""

    def levels(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Levels, Levels]:
        rate = np.asarray(canary(np.arange(size[1])), float)
        return Levels(rate, np.array(shift), width), Levels(np.array(baseline), np.array(0.0))

    return levels


def fewest_looks(scenario: Scenario, weight: float, alpha: float) -> float:
    """Looks after which the two-sample Kullback-Leibler information reaches ln(1/alpha), whole looks; inf = never."""
    canary, baseline = scenario(np.random.default_rng(0), (1, LOOKS))
    ratio = (1.0 - weight) / weight
    information = np.zeros(LOOKS)
    errors = [np.broadcast_to(level.errors, (1, LOOKS))[0] for level in (canary, baseline)]
    buckets = [bucket_shares(np.broadcast_to(level.shift, (1, LOOKS))[0], level.width) for level in (canary, baseline)]
    for p, q in ([np.stack([rate, 1.0 - rate], axis=-1) for rate in errors], buckets):
        mixed = (p + ratio * q) / (1.0 + ratio)
        information += _divergence(p, mixed) + ratio * _divergence(q, mixed)
    reached = np.cumsum(information * REQUESTS_PER_LOOK * weight) >= np.log(1.0 / alpha)
    return float(reached.argmax() + 1) if reached.any() else float("inf")


def _divergence(p: Values, q: Values) -> Values:
    safe = np.where(p > 0, p, 1.0)
    result: Values = np.where(p > 0, p * np.log(safe / np.where(q > 0, q, 1.0)), 0.0).sum(axis=-1)
    return result
