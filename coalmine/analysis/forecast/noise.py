"""By how much the judge will temper its evidence: the dispersion it will have estimated by a look.

The estimate of ``coalmine.analysis.dispersion`` scatters even when the noise is pure counting, and what it scatters
upwards costs evidence: it is never below 1, and above the first rungs it is rounded up. A run whose first looks
scattered more keeps a larger estimate for long, so the estimate is a matter of luck of the whole run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from coalmine.analysis import mixture
from coalmine.analysis.channels import Counts, residuals
from coalmine.analysis.dispersion import COLD_LOOKS, COLD_PHI, HIGHEST_RHO, KNOWN_LOOKS, SAFETY, carried
from coalmine.analysis.forecast.course import Course
from coalmine.analysis.grids import LAG, PHI_LADDER, Array
from coalmine.analysis.tempering import with_reserve

LUCKS = (-1.22, 0.0, 1.22)
"""Equally likely runs, by how far their estimate is from its expectation, in standard deviations."""


@dataclass(frozen=True, eq=False)
class Residuals:
    """What a look adds to the estimate of one channel's dispersion, in expectation, by stretch [G]."""

    t: Array
    v: Array
    information: Array
    """What the history's excess dispersion is multiplied by."""
    events: Array
    """In both arms: the fewer, the more the estimate scatters."""
    block: int
    """Looks per minute, at least 1."""

    @staticmethod
    def of_events(
        canary: Array, canary_events: Array, baseline: Array, baseline_events: Array, margin: float, block: int
    ) -> Residuals:
        """Of a channel of events, about its margin."""
        one = residuals(Counts(canary, canary_events, baseline, baseline_events), margin)
        rate = baseline_events / np.maximum(baseline, 1e-300)
        # The variance goes by the canary's true share of the events, as the judge's scale does.
        events = canary_events + baseline_events
        share = canary_events / np.maximum(events, 1e-300)
        spare = np.maximum(1.0 - events / np.maximum(canary + baseline, 1e-300), 0.02)
        return Residuals(one.t, events * share * (1.0 - share) * spare, one.unit * rate * (1.0 - rate), events, block)


@dataclass(frozen=True)
class Noise:
    """One channel's noise: ``tau2`` of its history, None without one."""

    tau2: float | None = None
    seen: float = KNOWN_LOOKS
    """Looks the history has."""
    least: float = 0.0
    """Information per look at which it was learnt."""

    def truth(self, information: Array) -> Array:
        """The dispersion assumed true at this much information per look: the history's, else pure counting."""
        return 1.0 + (self.tau2 or 0.0) * carried(np.asarray(information, float), self.least)

    def tempering(
        self, course: Course, looks: Residuals, events_seen: Array | None, luck: float, *, rounded: bool = True
    ) -> Array:
        """What the log-likelihood will be divided by.

        Args:
            course: the moments, [T].
            looks: what the looks add to the estimate.
            events_seen: canary events by each moment, [T, Z]; None when they are many.
            luck: how far the run's estimate is from its expectation, in standard deviations.
            rounded: the judge rounds up to its ladder; else it adds a reserve.

        Returns:
            [T, Z], or [T, 1].
        """
        expected = _expected(self, course, looks)
        seen_share = (
            np.ones((1, 1))
            if events_seen is None
            else np.maximum(events_seen, 0.0) / (np.maximum(events_seen, 0.0) + 0.5)
        )
        middle = expected.prior + expected.observed * seen_share
        estimate = np.maximum(middle + luck * expected.scatter * seen_share, 1.0)
        if not rounded:
            return with_reserve(estimate)
        rung = mixture.rung_of(estimate)
        result: Array = np.where(rung <= 1, estimate, np.maximum(PHI_LADDER[rung], estimate))
        return result


@dataclass(frozen=True)
class _Expected:
    """What the estimate is made of, whatever the run's luck and events, [T, 1]: each with its share of the weight."""

    prior: Array
    observed: Array
    scatter: Array


@lru_cache(maxsize=32)
def _expected(noise: Noise, course: Course, looks: Residuals) -> _Expected:
    """Kept: a boundary is looked for by many evaluations over one course."""
    taken = course.looks.astype(float)
    # The judge goes by the average that excess variance, being quadratic, goes by.
    information = _over(taken @ looks.information**2, taken @ looks.information)
    truth = noise.truth(information)
    known = noise.tau2 is not None
    weight = min(KNOWN_LOOKS, noise.seen) if known else COLD_LOOKS
    prior = 1.0 + SAFETY * (truth - 1.0) if known else np.full_like(truth, COLD_PHI)
    # Lagged: in the first looks there is nothing but the prior.
    lagged = course.lagged(LAG).astype(float)
    seen = np.maximum(lagged.sum(axis=1) - 1.0, 0.0)
    share, count = seen / (weight + seen), np.maximum(seen, 1.0)
    observed = _observed(lagged, looks, truth)
    events = np.maximum(_over(taken @ looks.events, taken.sum(axis=1)), 1e-3)
    # Squares of counts scatter by 2 + 1 / mean; what is added for a positive autocorrelation scatters as well.
    scatter = truth * np.sqrt((2.3 + 1.0 / events) / count)
    return _Expected(((1.0 - share) * prior)[:, None], (share * observed)[:, None], (share * scatter)[:, None])


def _observed(taken: Array, looks: Residuals, truth: Array) -> Array:
    """The dispersion the judge will see, [T]: a fault that begins under way looks like noise at first."""
    variance = np.maximum(taken @ looks.v, 1e-300)
    effect = (taken @ looks.t) / variance
    away = (taken[:, :] * (looks.t - effect[:, None] * looks.v) ** 2).sum(axis=1) / variance
    count = np.maximum(taken.sum(axis=1), 1.0)
    rho = np.clip(away / (truth + away) - 1.0 / np.sqrt(count), 0.0, HIGHEST_RHO)
    # By chance alone the autocorrelation is sometimes above its discount of one standard error.
    spread = (truth + away) * (1.0 + rho) / (1.0 - rho) * (1.0 + 0.17 / np.sqrt(count))
    blocks = np.floor(count / looks.block)
    by_block = (truth + looks.block * away) * np.maximum(1.0 - np.sqrt(2.0 / np.maximum(blocks, 1.0)), 0.0)
    result: Array = np.maximum(spread, by_block)
    return result


def _over(top: Array, bottom: Array) -> Array:
    result: Array = top / np.maximum(bottom, 1e-300)
    return result
