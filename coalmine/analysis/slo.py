"""A service level objective of the canary alone: both arms may be bad together, and a comparison would not see it.

A burn rate is bad requests over those the objective allows. As in multi-window alerts, one counts as too fast only
while two windows show it: the long one that it lasts, the short one that it still goes on. Whether that is more than
chance is a one-sample e-process against "the canary burns at most this fast", over all looks; so few requests fire
nothing. The part of the period's error budget that is used up is a count, not an inference, and needs no evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, expm1, log, log1p

import numpy as np
from scipy.special import betaln

from coalmine.analysis import grids, mixture
from coalmine.analysis.channels import Pace
from coalmine.analysis.dispersion import Dispersion, Prior
from coalmine.analysis.grids import Array, Mask, Numeric
from coalmine.analysis.increments import one_sample
from coalmine.analysis.metrics import Fact, Weighed
from coalmine.analysis.readings import Reading, significant
from coalmine.analysis.sentences import joined, number, percent
from coalmine.analysis.tempering import Bets, Weighing
from coalmine.analysis.trees import Capital, Count, Sum
from coalmine.analysis.windows import Bounds, MetricWindow
from coalmine.spec.durations import format_duration
from coalmine.spec.metrics import BurnRate, Slo

_COLD = Prior(np.zeros(1), np.zeros(1, bool))
_LEVEL: Array = np.ones(1)
_LOWEST = -700.0
"""A share below e^-700 is none."""
_NEAR_ONE = 1.0 - 2.0**-53
"""Counts beyond what a double tells apart: all but one bad are not all bad."""


@dataclass(frozen=True)
class SloCounts:
    """One window of an slo for a batch, each [S]; ``burning`` [S, K]: which burn rates both their windows show."""

    canary: Numeric
    canary_events: Numeric
    baseline: Numeric
    seconds: Numeric
    burning: Mask
    present: Mask


@dataclass(frozen=True)
class SloState:
    """State of an slo, arrays [S, 1, ...]; K burn rates."""

    canary: Count
    canary_events: Count
    baseline: Count
    seconds: Sum
    burning: Count
    """1 where both windows of a burn rate showed it in the last look with data, [S, K]."""
    fast: Capital
    """Against "at most this burn rate", [S, K, P, 22]."""
    slow: Capital
    """Against "at least the lowest burn rate", [S, 1, P, 14]."""
    noise: Dispersion


@dataclass(frozen=True)
class SloMetric:
    """An objective with its burn rates."""

    slo: Slo
    look_seconds: float = 60.0
    counts = SloCounts

    @property
    def margin(self) -> float:
        """The lowest burn rate that is too fast."""
        return min(burn.rate for burn in self.slo.burn)

    def start(self, size: int, bounds: Bounds = ()) -> SloState:
        """Nothing seen, for ``size`` runs."""
        shape, rates = (size, 1), (size, len(self.slo.burn))
        return SloState(
            canary=np.zeros(shape),
            canary_events=np.zeros(shape),
            baseline=np.zeros(shape),
            seconds=np.zeros(shape),
            burning=np.zeros(rates),
            fast=mixture.empty(rates, grids.HARM_RATIOS.size),
            slow=mixture.empty(shape, grids.NO_HARM_RATIOS.size),
            noise=Dispersion.start(shape),
        )

    def update(self, state: SloState, counts: SloCounts, pace: Pace) -> SloState:
        """Fold one window in."""
        present = np.asarray(counts.present, bool)[:, None]
        n, x, n_b, seconds = (
            np.where(present, np.asarray(values, float)[:, None], 0.0)
            for values in (counts.canary, counts.canary_events, counts.baseline, counts.seconds)
        )
        limits = self._limits
        limit = min(limits)
        fast = one_sample(x, n, np.array(limits), grids.HARM_RATIOS)
        slow = one_sample(x, n, limit, grids.NO_HARM_RATIOS)
        variance = limit * (1.0 - limit)
        canary, events = state.canary + n, state.canary_events + x
        rate = (events + 0.5) / (canary + 1.0)
        scale = np.minimum(np.maximum(rate * (1.0 - rate) / variance, 0.05), 20.0)
        look = (x - limit * n, n * variance, n * variance, scale)
        return SloState(
            canary=canary,
            canary_events=events,
            baseline=state.baseline + n_b,
            seconds=state.seconds + seconds,
            burning=np.where(present, np.asarray(counts.burning, float), state.burning),
            fast=mixture.fold(state.fast, pace.log_weight, fast, pace.harm_cap),
            slow=mixture.fold(state.slow, pace.log_weight, slow, pace.cap),
            noise=pace.noise(state.noise, look, present),
        )

    def weighing(self, state: SloState, unspent: float) -> Weighing[Weighed]:
        """The evidence so far: the mean over the burn rates, each only while both its windows show it."""
        phi = state.noise.lagged(_COLD, _LEVEL)
        fast, slow = yield [
            Bets(state.fast, grids.HARM_LOG_PRIOR, np.broadcast_to(phi, state.burning.shape)),
            Bets(state.slow, grids.NO_HARM_LOG_PRIOR, phi),
        ]
        counted = (state.burning > 0) & (state.canary_events >= grids.MIN_EVENTS)
        fast = np.where(counted, fast, np.minimum(fast, 0.0))
        harm = mixture.log_sum(fast) - np.log(fast.shape[-1])
        fact = None
        if self.slo.budget is not None:
            over = self._budget_used(state) > self.slo.budget
            fact = Fact(broken=over, kept=~over)
        return Weighed(harm, harm, None, slow[:, 0], phi, fact=fact)

    def take(
        self, bounds: Bounds, window: MetricWindow, share: float | None, reason: str
    ) -> tuple[Bounds, SloCounts, str]:
        """One run's window as a batch of one.

        A source that cannot look back gives no burn windows at all; then the evidence alone decides. One that lacks
        some of them could not count those: their burn rates do not fire.
        """
        shares = {round(length, 3): events / total for length, total, events in window.canary.burn if total}
        burning = [
            not window.canary.burn
            or all(shares.get(round(length.total_seconds(), 3), -1.0) >= limit for length in (burn.long, burn.short))
            for burn, limit in zip(self.slo.burn, self._limits, strict=True)
        ]
        seconds = self.look_seconds if window.seconds is None else window.seconds
        arms = (window.canary.total, window.canary.events, window.baseline.total, seconds)
        canary, events, baseline, length = (np.array([value]) for value in arms)
        return (
            bounds,
            SloCounts(canary, events, baseline, length, np.array([burning]), np.array([not reason])),
            reason,
        )

    def seen(self, state: SloState) -> tuple[Array, Array]:
        """Requests of canary and baseline so far."""
        return state.canary[..., 0], state.baseline[..., 0]

    def read(self, names: Sequence[str], state: SloState, weighed: Weighed, alpha: float) -> list[Reading]:
        """What one run shows."""
        return [self._reading(names[0], state, weighed, alpha)]

    def _reading(self, name: str, state: SloState, weighed: Weighed, alpha: float) -> Reading:
        """How fast the canary burns, and what it has used of the budget."""
        n, x, n_b = (int(values[0, 0]) for values in (state.canary, state.canary_events, state.baseline))
        allowed = 1.0 - self.slo.objective
        text = f"{name}: "
        burn: float | None = None
        span: tuple[float, float] | None = None
        if n:
            burn = x / n / allowed
            assert weighed.phi is not None
            low, high = share_interval(x, n, float(weighed.phi[0, 0]), alpha)
            span = (significant(low / allowed), significant(high / allowed))
            text += (
                f"{percent(x / n)} of {number(n)} canary requests bad, {burn:.3g} times what "
                f"{100.0 * self.slo.objective:.6g} % allow (between {span[0]:.3g} and {span[1]:.3g}); "
            )
        else:
            text += "no canary requests yet; "
        used = float(self._budget_used(state)[0])
        limit = "" if self.slo.budget is None else f", at most {percent(self.slo.budget)} may be"
        text += f"too fast is {self._rates}; {percent(used)} of the budget of {self._period} used{limit}"
        return Reading(
            text,
            None if burn is None else significant(burn),
            span,
            None,
            x / n if n else None,
            n_b,
            n,
            # An absolute objective: no history of the difference between versions is needed to be sure of it.
            lowest=np.inf,
            measure="burn rate",
            margin=self.margin,
            proof=f": below {self.margin:g} times is shown",
        )

    @cached_property
    def _rates(self) -> str:
        return joined([_described(burn) for burn in self.slo.burn])

    @cached_property
    def _period(self) -> str:
        return format_duration(self.slo.period)

    @cached_property
    def _limits(self) -> list[float]:
        """Share of bad requests of each burn rate."""
        return [min(burn.rate * (1.0 - self.slo.objective), 1.0 - 1e-9) for burn in self.slo.burn]

    def _budget_used(self, state: SloState) -> Array:
        """Part of the period's budget used by this canary, at the traffic of both arms seen so far, [S]."""
        requests, seconds = (state.canary + state.baseline)[:, 0], state.seconds[:, 0]
        known = (requests > 0) & (seconds > 0)
        period = requests / np.where(known, seconds, 1.0) * self.slo.period.total_seconds()
        budget = np.where(known, period, 1.0) * (1.0 - self.slo.objective)
        result: Array = np.where(known, state.canary_events[:, 0] / budget, 0.0)
        return result


def share_interval(events: int, total: int, phi: float, alpha: float) -> tuple[float, float]:
    """Anytime-valid interval of a share: a uniform mixture over shares, counts tempered by ``phi``.

    All p with ``ln B(1 + x, 1 + n - x) - x ln p - (n - x) ln(1 - p) < ln(1 / alpha)`` (Ville's inequality for the
    beta-binomial martingale; Robbins, 1970).
    """
    x, n = events / phi, total / phi
    bound = float(betaln(1.0 + x, 1.0 + n - x)) + log(alpha)
    # In logarithms: the ends may lie as close to 0 or 1 as they like.
    low = exp(_edge(x, n - x, bound, log(x / n))) if x else 0.0
    high = -expm1(_edge(n - x, x, bound, log1p(-min(x / n, _NEAR_ONE)))) if events < total else 1.0
    return min(low, high), high


def _log_rest(log_share: float) -> float:
    """``ln(1 - share)``, exact for shares near 0 and near 1."""
    return log(-expm1(log_share)) if log_share > -0.7 else log1p(-exp(log_share))


def _edge(own: float, other: float, bound: float, inside: float) -> float:
    """The lowest logarithm of a share p, up to ``inside``, at which ``own ln p + other ln(1 - p)`` is above the bound.

    The sum rises up to ``inside``, ever more slowly: tangents from below meet the bound before it does, and come to it.
    """

    def missing(at: float) -> float:
        return bound - own * at - (other * _log_rest(at) if other > 0 else 0.0)

    at, inside = min(2.0 * inside, -1.0) - 1.0, min(inside, -1e-300)
    while (short := missing(at)) < 0 and at > _LOWEST:
        at *= 2.0
    for _ in range(80):
        slope = own + (other * exp(at) / expm1(at) if other > 0 else 0.0)
        if short < 0 or slope <= 0 or (closer := min(at + short / slope, inside)) <= at:
            break
        at, short = closer, missing(closer)
    return at


def _described(burn: BurnRate) -> str:
    return f"{burn.rate:g} over {format_duration(burn.long)} and {format_duration(burn.short)}"
