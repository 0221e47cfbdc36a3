"""The judge's evidence at looks that are only planned, as a function of how many bad requests the canary will have had.

Given what both arms have in common, each process of the judge bets on one linear statistic of the canary's buckets:
its events, or its rank scores. The statistics of one metric move together, so one of their combinations is followed
(the one the evidence leans on), the others at what is expected of them given that one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coalmine.analysis.forecast.course import Course
from coalmine.analysis.forecast.noise import Noise, Residuals
from coalmine.analysis.grids import Array


@dataclass(frozen=True)
class Traffic:
    """What one look counts in expectation, over the stretches [G] of a course and the metric's buckets [B]."""

    canary: Array
    """Canary requests per bucket, [G, B]."""
    baseline: Array

    @property
    def pooled(self) -> Array:
        return self.canary + self.baseline

    @property
    def spread(self) -> Array:
        """Variance of the canary's requests per bucket given those of both arms, [G, B], before they are tied."""
        result: Array = self.canary * self.baseline / np.maximum(self.pooled, 1e-300)
        return result

    def covariance(self, first: Array, second: Array) -> Array:
        """Of two linear statistics of the canary's buckets, per look, given the totals: [G].

        Args:
            first, second: a coefficient per bucket, [B] or [G, B].
        """
        spread = self.spread
        total = np.maximum(spread.sum(axis=-1), 1e-300)
        middle_1, middle_2 = ((spread * one).sum(axis=-1) / total for one in (first, second))
        result: Array = (spread * first * second).sum(axis=-1) - total * middle_1 * middle_2
        return result


@dataclass(frozen=True)
class Statistic:
    """A linear statistic of the canary's buckets, and the noise of its channel."""

    on: Array
    """A coefficient per bucket, [G, B]."""
    noise: Noise
    residuals: Residuals
    counts: bool = True
    """Whether it counts events."""


@dataclass(frozen=True)
class Process:
    """One e-process: ``sum over looks of min((slope * statistic - cost) / phi, cap)``, mixed over K alternatives."""

    statistic: Statistic
    slopes: Array
    """[K]."""
    cost: Array
    """Per look, [G, K]."""
    log_prior: Array
    """[K]."""
    tempered: bool = True
    """Whether it is divided by the dispersion and capped: all but the crash guard are."""
    burst: float = 1.0
    """Part of the cap that one window may add."""
    rounded: bool = True
    """Whether the dispersion is rounded up to the ladder."""


@dataclass(frozen=True)
class View:
    """The moments at which evidence is asked for, and how far the followed statistic is from its expectation."""

    course: Course
    traffic: Traffic
    cap: float
    deviation: Array
    """Of each bucket from its expectation, per look of each stretch, [T, G, Z, B]."""
    luck: float = 0.0
    """Of the estimate of the dispersion, in standard deviations."""

    def log_evidence(self, process: Process) -> Array:
        """``ln E`` of one process, [T, Z]."""
        return _mixed(self, process)

    def seen(self, statistic: Statistic) -> Array:
        """The statistic's total by each moment, [T, Z]."""
        per_look = self.per_look(statistic)
        result: Array = (self.course.looks[:, :, None] * per_look).sum(axis=1)
        return result

    def per_look(self, statistic: Statistic) -> Array:
        """The statistic per look, [T, G, Z]."""
        expected = (self.traffic.canary * statistic.on).sum(axis=-1)
        result: Array = expected[None, :, None] + (self.deviation * statistic.on[None, :, None, :]).sum(axis=-1)
        return result


Evidence = Callable[[View], Array]
"""``ln E`` of what decides, over moments and deviations [T, Z]; rises with the deviation."""


def _mixed(view: View, process: Process) -> Array:
    statistic = process.statistic
    nats = view.per_look(statistic)[..., None] * process.slopes - process.cost[None, :, None, :]
    if not process.tempered:
        return _capital(view.course, nats, process.log_prior)
    events = view.seen(statistic) if statistic.counts else None
    phi = statistic.noise.tempering(view.course, statistic.residuals, events, view.luck, rounded=process.rounded)
    # Between rungs the judge interpolates, where it does not round up; dividing by phi is the same to a few hundredths.
    return _capital(view.course, np.minimum(nats / phi[:, None, :, None], process.burst * view.cap), process.log_prior)


def _capital(course: Course, nats: Array, log_prior: Array) -> Array:
    """``ln`` of the mixture's capital and its cash, [T, Z], from what one look of each stretch adds, [T, G, Z, K]."""
    grown = course.looks[:, :, None, None] * nats
    # What was invested at the start of a stretch grows from there on; what was invested under way, from under way on.
    onwards = np.cumsum(grown[:, ::-1], axis=1)[:, ::-1]
    later = np.maximum(onwards, onwards - grown)
    # In parts of the largest term, so that one logarithm is enough for all.
    most = later.max(axis=(1, 3), keepdims=True)
    began = course.looks > 0
    parts = np.exp(onwards - most) * (course.first * began)[:, :, None, None]
    later -= most
    parts += np.exp(later) * _average(grown) * (course.later * began)[:, :, None, None]
    with np.errstate(divide="ignore"):
        invested = np.log((parts.sum(axis=1) * np.exp(log_prior)).sum(axis=-1)) + most[:, 0, :, 0]
    result: Array = np.logaddexp(invested, np.log(np.maximum(course.unspent, 1e-300))[:, None])
    return result


def _average(grown: Array) -> Array:
    """The average of ``exp(u * grown)`` for ``u`` from 0 to 1, as a part of its largest, that at 0 or at 1."""
    size = np.maximum(np.abs(grown), 1e-300)
    result: Array = -np.expm1(-size) / size
    return result
