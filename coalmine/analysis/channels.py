"""Channels of one kind: events per request against the other arm (errors, or requests slower than a bound).

Arrays have the shape [..., C]: leading batch axes, then the channels of a metric.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np

from coalmine.analysis import grids, interval, mixture
from coalmine.analysis.dispersion import Dispersion, Prior
from coalmine.analysis.grids import Array, Mask
from coalmine.analysis.increments import curve, one_sample
from coalmine.analysis.noises import Noises
from coalmine.analysis.tempering import Bets
from coalmine.analysis.trees import Capital, Count, Curve, Sum


@dataclass(frozen=True)
class Counts:
    """Events and requests of both arms in one window, each [..., C]; whole numbers, events never above requests."""

    canary: Array
    canary_events: Array
    baseline: Array
    baseline_events: Array

    def where(self, present: Mask) -> Counts:
        """Zero where a look is missing: no bet."""
        if grids.every(present):
            return self
        return Counts(
            *(np.where(present, v, 0.0) for v in (self.canary, self.canary_events, self.baseline, self.baseline_events))
        )


@dataclass(frozen=True)
class Residual:
    """How far one window is from the margin, for the dispersion; each [..., C]."""

    expected: Array
    """Canary events if the odds ratio were the margin."""
    t: Array
    v: Array
    """Variance of ``t`` if it were pure counting."""
    unit: Array
    """Information at unit variance."""


def residuals(counts: Counts, margin: float | Array) -> Residual:
    """Residual of one window about the margin."""
    events, requests = counts.canary_events + counts.baseline_events, counts.canary + counts.baseline
    odds = margin * counts.canary
    share = odds / np.maximum(odds + counts.baseline, 1.0)
    spread, spare = share * (1.0 - share), np.maximum(1.0 - events / np.maximum(requests, 1.0), 0.02)
    return Residual(share * events, counts.canary_events - share * events, events * spread * spare, requests * spread)


def level(totals: Counts) -> Array:
    """Variance of one request's event at the baseline's pooled rate: scales a prior's information."""
    rate = (totals.baseline_events + 0.5) / (totals.baseline + 1.0)
    result: Array = rate * (1.0 - rate)
    return result


def scale(totals: Counts, expected: Array) -> Array:
    """True over assumed variance of the residuals: they are taken about the margin, not about the truth."""
    events = totals.canary_events + totals.baseline_events
    seen = (totals.canary_events + 0.5) / (events + 1.0)
    assumed = expected / np.maximum(events, 1.0)
    ratio = seen * (1.0 - seen) / np.maximum(assumed * (1.0 - assumed), 1e-9)
    return np.minimum(np.maximum(ratio, 0.05), 20.0)


@dataclass(frozen=True)
class Pace:
    """What one look invests and at most believes; the same for all channels of a judge."""

    weight: float
    cap: float
    block: int
    """Looks per minute, at least 1."""
    burst: float = 1.0
    """Part of the cap that one window of events may add for harm."""
    proof_cap: float = np.inf
    """Most nats one window may add to the proof that the canary is within the no-harm margin of the baseline."""
    noises: Noises | None = None
    """Where the noise of all panels is folded in at once; None = each by itself."""

    @property
    def harm_cap(self) -> float:
        """Most nats one window of events may add for harm."""
        return self.cap * self.burst

    def noise(self, before: Dispersion, look: tuple[Array, Array, Array, Array], present: Mask) -> Dispersion:
        """Fold a look into the noise of channels; see ``Dispersion.fold``."""
        if self.noises is None:
            return before.fold(look, self.block, present)
        return self.noises.fold(before, look, present)

    @cached_property
    def log_weight(self) -> float:
        return float(np.log(self.weight)) if self.weight > 0 else -np.inf


@dataclass(frozen=True)
class Shares:
    """State of ratio channels, [..., C] and for capitals [..., C, P, K]."""

    canary: Count
    canary_events: Count
    baseline: Count
    baseline_events: Count
    expected: Sum
    """Canary events if the odds ratio were the margin, summed over the looks."""
    curve: Curve
    """Log-likelihood on ``CURVE_RATIOS``, its maximum set to 0."""
    relative: Capital
    floor: Capital
    noise: Dispersion

    @staticmethod
    def start(shape: tuple[int, ...]) -> Shares:
        """Nothing seen."""
        return Shares(
            canary=np.zeros(shape),
            canary_events=np.zeros(shape),
            baseline=np.zeros(shape),
            baseline_events=np.zeros(shape),
            expected=np.zeros(shape),
            curve=np.zeros((*shape, grids.CURVE_RATIOS.size)),
            relative=mixture.empty(shape, grids.HARM_RATIOS.size),
            floor=mixture.empty(shape, grids.FLOOR_RATIOS.size),
            noise=Dispersion.start(shape),
        )

    @property
    def totals(self) -> Counts:
        """All windows so far as one."""
        return Counts(self.canary, self.canary_events, self.baseline, self.baseline_events)

    def phi(self, prior: Prior) -> Array:
        """The dispersion to judge by now."""
        return self.noise.lagged(prior, level(self.totals))

    def estimate(self) -> Array:
        """Odds ratio, stratified by look; nan while nothing is known."""
        return interval.estimate(self.curve)

    def bounds(self, phi: Array, alpha: float) -> tuple[Array, Array]:
        """Anytime-valid interval of the odds ratio."""
        return interval.interval(self.curve, phi, alpha)


@dataclass(frozen=True)
class NoHarm:
    """State of the evidence that channels are within the no-harm margin, or below the level that matters."""

    relative: Capital
    absolute: Capital

    @staticmethod
    def start(shape: tuple[int, ...]) -> NoHarm:
        """Nothing seen."""
        return NoHarm(mixture.empty(shape, grids.NO_HARM_RATIOS.size), mixture.empty(shape, grids.NO_HARM_RATIOS.size))

    def fold(self, counts: Counts, likelihood: Array, pace: Pace) -> NoHarm:
        """Fold one look in; ``likelihood`` [..., C, 15] is the curve at the no-harm ratios and, last, at the margin."""
        against = likelihood[..., :-1] - likelihood[..., -1:]
        below = one_sample(counts.canary_events, counts.canary, grids.NO_HARM_SHARE, grids.NO_HARM_RATIOS)
        return NoHarm(
            mixture.fold(self.relative, pace.log_weight, against, min(pace.cap, pace.proof_cap)),
            mixture.fold(self.absolute, pace.log_weight, below, pace.cap),
        )

    def bets(self, phi: Array, log_prior: Array) -> list[Bets]:
        """What the evidence is of.

        Args:
            phi: the dispersion, [..., C].
            log_prior: of the ratios below the margin, [14] or broadcast to [..., C, 14].
        """
        return [
            Bets(self.relative, log_prior, phi, rounded=False),
            Bets(self.absolute, grids.BELOW_LOG_PRIOR, phi, rounded=False),
        ]

    @staticmethod
    def log_evidence(relative: Array, below: Array) -> Array:
        """``ln E`` against "at least the no-harm margin, and at least 0.5 %", [..., C], from that of its bets."""
        result: Array = np.logaddexp(relative + grids.RELATIVE_LOG_SHARE, below + grids.BELOW_LOG_SHARE)
        return result


@dataclass(frozen=True, eq=False)
class ShareRule:
    """What ratio channels are judged by: margin and floor of their metrics, and the further ratios others need."""

    margin: Array
    """Broadcasts to the channels [..., C], as do floor and no-harm margin."""
    floor: Array
    no_harm: Array
    further: Callable[[float], tuple[float, ...]] | None = None
    """From the margin, the same number for every margin."""
    log_prior: Array = field(default_factory=lambda: grids.HARM_LOG_PRIOR)
    """Of the harm ratios."""

    @cached_property
    def ratios(self) -> Array:
        """All odds ratios a look's likelihood is needed at, as ``update`` returns them: [K], or [..., C, K]."""
        further = self.further or (lambda margin: ())
        pairs = zip(self.margin.reshape(-1).tolist(), self.no_harm.reshape(-1).tolist(), strict=True)
        rows = [ratios_of(margin, no_harm, further(margin)) for margin, no_harm in pairs]
        return rows[0] if all(row is rows[0] for row in rows) else np.stack(rows).reshape(*self.margin.shape, -1)

    @cached_property
    def _log_ratios(self) -> Array:
        return np.log(self.ratios)

    @cached_property
    def no_harm_log_prior(self) -> Array:
        """Of the ratios below the no-harm margins, [..., 14]."""
        return grids.no_harm_log_prior(self.no_harm)

    @cached_property
    def floored(self) -> Mask:
        """Which channels have a floor."""
        return self.floor > 0

    @cached_property
    def all_floored(self) -> bool:
        """All of them."""
        return grids.every(self.floored)

    @cached_property
    def some_floored(self) -> bool:
        """Any of them."""
        return grids.some(self.floored)

    def update(
        self, state: Shares, counts: Counts, present: Mask, prior: Prior, pace: Pace
    ) -> tuple[Shares, Array, Array]:
        """Fold one look in.

        Args:
            state: before the look.
            counts: of the window, [..., C]; zero where the look is missing.
            present: which channels have this look.
            prior: what is known of their noise.
            pace: what the look invests.

        Returns:
            The state after it; the likelihood at the no-harm ratios [..., C, 15]; that at the further ratios.
        """
        arms = (counts.canary_events, counts.canary, counts.baseline_events, counts.baseline)
        likelihood = curve(*arms, self.ratios, self._log_ratios)
        harm, at_margin, whole, no_harm, further = (likelihood[..., part] for part in _PARTS)
        relative = mixture.fold(state.relative, pace.log_weight, harm - at_margin, pace.harm_cap)
        summed = state.curve + whole
        residual = residuals(counts, self.margin)
        totals = Counts(
            state.canary + counts.canary,
            state.canary_events + counts.canary_events,
            state.baseline + counts.baseline,
            state.baseline_events + counts.baseline_events,
        )
        expected = state.expected + residual.expected
        look = (residual.t, residual.v, residual.unit, scale(totals, expected))
        after = Shares(
            totals.canary,
            totals.canary_events,
            totals.baseline,
            totals.baseline_events,
            expected=expected,
            curve=summed - np.maximum.reduce(summed, axis=-1, keepdims=True),
            relative=relative,
            floor=self._above_floor(state.floor, counts, pace),
            noise=pace.noise(state.noise, look, present),
        )
        return after, no_harm, further

    def bets(self, state: Shares, phi: Array) -> list[Bets]:
        """What the evidence for harm is of, at this dispersion [..., C]."""
        bets = [Bets(state.relative, self.log_prior, phi)]
        if self.some_floored:
            bets.append(Bets(state.floor, grids.FLOOR_LOG_PRIOR, phi))
        return bets

    def log_evidence(self, state: Shares, relative: Array, floor: Array | None = None) -> Array:
        """``ln E`` against "at most the margin, or the floor", [..., C], from that of its bets.

        Never above 0 on fewer than 5 events.
        """
        evidence = relative
        if floor is not None:
            lowest = np.minimum(relative, floor)
            evidence = lowest if self.all_floored else np.where(self.floored, lowest, relative)
        return np.where(state.canary_events >= grids.MIN_EVENTS, evidence, np.minimum(evidence, 0.0))

    def _above_floor(self, capital: Array, counts: Counts, pace: Pace) -> Array:
        if not self.some_floored:
            return capital
        # Channels without a floor are given any: what comes of it is dropped.
        floor = self.floor if self.all_floored else np.where(self.floored, self.floor, 0.5)
        above = one_sample(counts.canary_events, counts.canary, floor, grids.FLOOR_RATIOS)
        folded = mixture.fold(capital, pace.log_weight, above, pace.harm_cap)
        return folded if self.all_floored else np.where(self.floored[..., None, None], folded, capital)


@lru_cache(maxsize=64)
def ratios_of(margin: float, no_harm: float, further: tuple[float, ...] = ()) -> Array:
    """Odds ratios a look's likelihood is needed at: harm, margin, curve, no harm, its margin, and further ones."""
    return np.concatenate(
        [
            margin * grids.HARM_RATIOS,
            [margin],
            grids.CURVE_RATIOS,
            no_harm * grids.NO_HARM_RATIOS,
            [no_harm],
            further,
        ]
    )


_ENDS = np.cumsum([0, grids.HARM_RATIOS.size, 1, grids.CURVE_RATIOS.size, grids.NO_HARM_RATIOS.size + 1]).tolist()
_PARTS = tuple(slice(*ends) for ends in pairwise([*_ENDS, None]))
"""Where ``ratios_of`` has each of them."""
