"""When evidence will reach what is needed: its law over the looks of a course."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from coalmine.analysis.forecast.course import Course
from coalmine.analysis.forecast.evidence import Evidence, Statistic, Traffic, View
from coalmine.analysis.forecast.noise import LUCKS
from coalmine.analysis.forecast.passage import first_passage
from coalmine.analysis.grids import Array

_TURNS = 12
_SURE = 4.0
_REACH = 8.0
"""Standard deviations either side within which the boundary is looked for."""
_FEW = 15.0
"""Events beyond the expectation within which it is looked for too: few events scatter further than a normal law."""


@dataclass(frozen=True)
class Arrival:
    """Chance that the evidence has been enough by each moment of the course, [T]."""

    course: Course
    chance: Array

    def looks(self, chance: float) -> int | None:
        """The look by which it is so with this chance; None when it is not within the course."""
        reached = np.flatnonzero(self.chance >= chance)
        if not reached.size:
            return None
        now = int(reached[0])
        if now == 0:
            return int(self.course.at[0])
        before, after = self.course.at[now - 1], self.course.at[now]
        low, high = self.chance[now - 1], self.chance[now]
        return int(before + np.ceil((after - before) * (chance - low) / (high - low) - 1e-9))

    def by(self, look: int) -> float:
        """The chance by a look that is followed, such as the last of a step."""
        return float(self.chance[int(np.searchsorted(self.course.at, look))])


@dataclass(frozen=True)
class Question:
    """What must reach ``needed``: ``evidence`` rises with the canary's statistics, or falls (``rises`` False)."""

    course: Course
    traffic: Traffic
    cap: float
    evidence: Evidence
    needed: float
    statistics: Sequence[Statistic]
    """Those the evidence rests on; the first is followed itself when there is one only."""
    rises: bool = True

    def arrival(self) -> Arrival:
        """The law of the look at which the evidence is first enough."""
        whole = self.course
        asked = replace(self, course=whole.upto(self._sure()))
        chance = np.mean([asked.chance(luck) for luck in LUCKS], axis=0)
        rest = np.full(whole.size - chance.size, chance[-1])
        return Arrival(whole, np.concatenate([chance, rest]))

    def chance(self, luck: float) -> Array:
        """The chance that it has been enough by each moment, of runs with this luck."""
        course, followed = self.course, self._followed
        variance = self.traffic.covariance(followed, followed) * self._dispersion
        expected = (self.traffic.canary * followed).sum(axis=-1) if self._whole else np.zeros(course.share.size)
        elapsed = course.elapsed()
        means, variances = elapsed @ expected, elapsed @ variance
        boundary = self._boundary(np.sqrt(np.maximum(np.cumsum(variances), 1e-300)), luck)
        return first_passage(means, variances, np.cumsum(means) + boundary, whole=self._whole)

    def _sure(self) -> int:
        """A moment by which the evidence is enough even in a run with bad luck in all; the last when there is none."""
        followed = self._followed
        variance = self.course.looks @ (self.traffic.covariance(followed, followed) * self._dispersion)
        unlucky = -_SURE * np.sqrt(np.maximum(variance, 1e-300))[:, None]
        enough = np.flatnonzero(self.evidence(self._at(unlucky, max(LUCKS)))[:, 0] >= self.needed)
        return int(enough[0]) if enough.size else self.course.size - 1

    @property
    def _whole(self) -> bool:
        return len(self.statistics) == 1

    @cached_property
    def _followed(self) -> Array:
        """Coefficients on the buckets of the statistic that is followed, [G, B]; evidence rises with it."""
        if self._whole:
            return self.statistics[0].on * (1.0 if self.rises else -1.0)
        return np.broadcast_to(self._gradient(), self.traffic.canary.shape)

    @cached_property
    def _dispersion(self) -> Array:
        """True variance over that of counting, [G]: that of the statistic nearest to the one that is followed."""
        followed, traffic = self._followed, self.traffic
        nearest = max(
            self.statistics,
            key=lambda one: float(
                traffic.covariance(followed, one.on)[-1] ** 2 / max(traffic.covariance(one.on, one.on)[-1], 1e-300)
            ),
        )
        return nearest.noise.truth(nearest.residuals.information)

    def _gradient(self) -> Array:
        """What one more request in each bucket adds to the evidence when it is about enough, [B]."""
        course, traffic = self.course, self.traffic
        buckets = traffic.canary.shape[1]
        at_expectation = self._view(course, np.zeros((course.size, 1, buckets)))
        enough = np.flatnonzero(self.evidence(at_expectation)[:, 0] >= self.needed)
        moment = int(enough[0]) if enough.size else course.size - 1
        one = Course(
            share=course.share,
            at=course.at[[moment]],
            looks=course.looks[[moment]],
            first=course.first,
            later=course.later[[moment]],
            unspent=course.unspent[[moment]],
        )
        taken = one.looks.astype(float)
        total = np.maximum((taken[0, :, None] * traffic.spread).sum(axis=0), 1e-300)
        size = 0.1 * np.sqrt(total)
        share = traffic.spread / total
        moves = np.concatenate([np.diag(size), -np.diag(size)])
        deviation = share[None, :, None, :] * moves[None, None, :, :]
        found = self.evidence(View(one, traffic, self.cap, deviation))[0]
        gradient: Array = (found[:buckets] - found[buckets:]) / (2.0 * size)
        return gradient / max(float(np.abs(gradient).max()), 1e-300)

    def _boundary(self, deviation: Array, luck: float) -> Array:
        """How far from its expectation the followed statistic must be at each moment for the evidence to be enough."""
        low = -_REACH * deviation
        high = np.maximum(_REACH * deviation, _FEW if self._whole else 0.0)
        below, above = self._beyond(low, luck), self._beyond(high, luck)
        always, never = below >= 0, above < 0
        for turn in range(_TURNS):
            # Regula falsi with the Illinois rule; every other turn halves, for evidence that jumps at the fifth event.
            share = 0.5 if turn % 2 else np.clip(below / np.minimum(below - above, -1e-300), 0.02, 0.98)
            middle = low + share * (high - low)
            found = self._beyond(middle, luck)
            enough = found >= 0
            above, below = np.where(enough, found, 0.5 * above), np.where(enough, 0.5 * below, found)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        result: Array = np.where(never, np.inf, np.where(always, -np.inf, high))
        return result

    def _beyond(self, deviation: Array, luck: float) -> Array:
        """By how much the evidence is enough at these deviations of the followed statistic, [T]."""
        found: Array = self.evidence(self._at(deviation[:, None], luck))[:, 0] - self.needed
        return found

    def _at(self, deviation: Array, luck: float) -> View:
        """The view at these deviations of the followed statistic [T, Z], all else as expected of it."""
        course, traffic, followed = self.course, self.traffic, self._followed
        spread = traffic.spread
        total = np.maximum(spread.sum(axis=-1, keepdims=True), 1e-300)
        with_bucket = spread * (followed - (spread * followed).sum(axis=-1, keepdims=True) / total)
        variance = course.looks @ traffic.covariance(followed, followed)
        per_unit = with_bucket[None] / np.maximum(variance, 1e-300)[:, None, None]
        return self._view(course, deviation[:, None, :, None] * per_unit[:, :, None, :], luck)

    def _view(self, course: Course, deviation: Array, luck: float = 0.0) -> View:
        if deviation.ndim == 3:
            deviation = np.broadcast_to(
                deviation[:, None], (course.size, course.share.size, deviation.shape[1], deviation.shape[2])
            )
        return View(course, self.traffic, self.cap, deviation, luck)
