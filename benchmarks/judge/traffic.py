"""Seeded traffic of two arms: a look each 10 s for an hour at 200 requests a second, counted as a metric store would.

A scenario says what each arm is like at every look; the counts follow from it as binomials and multinomials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Values = NDArray[Any]

REQUESTS_PER_LOOK = 2000
LOOKS = 360
MINUTE = 6
"""Looks."""
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""
SLOW = 0.25
"""Seconds: next to p97 of the usual latency; the objective of rivals that need one."""
MEDIAN, SPREAD = 0.08, 0.6
"""The usual latency is log-normal: median in seconds, deviation of its logarithm."""


@dataclass(frozen=True)
class Arm:
    """What one arm is like. Arrays broadcast to [S, T]: runs by looks."""

    errors: Values | float
    """Share of requests that fail, 0-1."""
    shift: Values | float = 0.0
    """Natural logarithm of what every latency is multiplied by."""
    width: float = 1.0
    """How many times wider the latency spreads above its median."""
    second_mode: Values | float = 0.0
    """Share of requests in a second mode of the latency, 0-1."""
    second_shift: float = 0.0
    """Where that mode lies, as ``shift``."""
    load: Values | float = 1.0
    """Requests of both arms together, as a multiple of the usual; read from the canary."""
    kept: Values | float = 1.0
    """Share of the requests that are still counted when a window is read (a counter that restarts loses some)."""
    present: Values | bool = True
    """False where the arm's series have no samples."""

    def bucket_shares(self, size: tuple[int, ...]) -> Values:
        """Share of the requests in each bucket, [*size, B]."""
        shift, share = np.broadcast_to(self.shift, size), np.broadcast_to(self.second_mode, size)[..., None]
        if self.second_shift == 0.0:
            return lognormal_shares(shift, self.width)
        second = lognormal_shares(shift + self.second_shift, self.width)
        mixed: Values = (1.0 - share) * lognormal_shares(shift, self.width) + share * second
        return mixed


class Scenario(Protocol):
    """Draws what canary and baseline are like."""

    def __call__(self, rng: np.random.Generator, size: tuple[int, int], weight: float) -> tuple[Arm, Arm]:
        """Canary and baseline of ``size`` = (runs, looks) with ``weight`` (0-1) of the requests on the canary."""


@dataclass(frozen=True)
class Counts:
    """What one arm's windows hold: requests and errors [S, T], requests per bucket [S, T, B]; 0 where not present."""

    requests: Values
    errors: Values
    buckets: Values
    present: Values

    @property
    def slow(self) -> Values:
        """Requests slower than ``SLOW``, [S, T]."""
        above: Values = self.buckets[..., BOUNDS.index(SLOW) + 1 :].sum(axis=-1)
        return above

    def by_minute(self) -> Counts:
        """The same in windows of a minute; present where any look of the minute is."""
        size = (self.requests.shape[0], self.requests.shape[1] // MINUTE, MINUTE)
        present: Values = self.present.reshape(size).max(axis=2)
        return Counts(
            self.requests.reshape(size).sum(axis=2),
            self.errors.reshape(size).sum(axis=2),
            self.buckets.reshape(*size, -1).sum(axis=2),
            present,
        )


@dataclass(frozen=True)
class Traffic:
    """Both arms of a batch of runs, and the share of traffic (0-1) the canary was given."""

    canary: Counts
    baseline: Counts
    weight: float

    @property
    def present(self) -> Values:
        """Where both arms have samples, [S, T]."""
        both: Values = self.canary.present & self.baseline.present
        return both


def draw(
    scenario: Scenario, weight: float, runs: int, seed: np.random.SeedSequence | int, looks: int = LOOKS
) -> Traffic:
    """``runs`` hours of traffic; the same seed always gives the same."""
    rng = np.random.default_rng(seed)
    size = (runs, looks)
    canary, baseline = scenario(rng, size, weight)
    total = np.round(REQUESTS_PER_LOOK * np.broadcast_to(canary.load, size)).astype(np.int64)
    requests = rng.binomial(total, weight)
    return Traffic(_count(rng, canary, requests), _count(rng, baseline, total - requests), weight)


def _count(rng: np.random.Generator, arm: Arm, requests: Values) -> Counts:
    size = requests.shape
    present = np.array(np.broadcast_to(arm.present, size))
    seen: Values = np.where(present, rng.binomial(requests, np.broadcast_to(arm.kept, size)), 0)
    errors = rng.binomial(seen, np.clip(np.broadcast_to(arm.errors, size), 0.0, 1.0))
    return Counts(seen, errors, rng.multinomial(seen, arm.bucket_shares(size)), present)


def lognormal_shares(shift: Values, width: float = 1.0) -> Values:
    """Share of requests in each bucket, [..., B]: the usual latency, shifted, and wider above the median."""
    distance = np.log(BOUNDS) - np.log(MEDIAN) - np.asarray(shift)[..., None]
    upper = norm.cdf(distance / np.where(distance > 0, SPREAD * width, SPREAD))
    edges = np.concatenate([np.zeros((*upper.shape[:-1], 1)), upper, np.ones((*upper.shape[:-1], 1))], axis=-1)
    return np.diff(edges, axis=-1)


def p99(buckets: Values) -> Values:
    """p99 in seconds, [...], linear within its bucket as Prometheus interpolates; nan without requests.

    In the last, open bucket it is that bucket's lower bound.
    """
    below = np.cumsum(buckets, axis=-1)
    total = below[..., -1]
    rank = 0.99 * total
    at = np.minimum((below < rank[..., None]).sum(axis=-1), buckets.shape[-1] - 1)
    edges = np.array([0.0, *BOUNDS, BOUNDS[-1]])
    inside = np.take_along_axis(buckets, at[..., None], axis=-1)[..., 0]
    before = np.take_along_axis(below, at[..., None], axis=-1)[..., 0] - inside
    part = (rank - before) / np.maximum(inside, 1)
    return np.where(total > 0, edges[at] + (edges[at + 1] - edges[at]) * part, np.nan)


def wander(rng: np.random.Generator, size: tuple[int, int], rho: float, deviation: float) -> Values:
    """Stationary first-order autoregressive noise, [S, T]."""
    noise = rng.standard_normal(size)
    for look in range(1, size[1]):
        noise[:, look] = rho * noise[:, look - 1] + np.sqrt(1.0 - rho**2) * noise[:, look]
    return deviation * noise


def episode(rng: np.random.Generator, size: tuple[int, int], length: int) -> Values:
    """True for ``length`` looks in a row, anywhere in the run, [S, T]."""
    start = rng.integers(0, max(size[1] - length, 1), size[0])[:, None]
    look = np.arange(size[1])
    return (look >= start) & (look < start + length)
