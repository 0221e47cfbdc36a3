"""Judges of errors and other ratios, and of latency, over a batch [...]. Both arms run at the same time.

A batch is runs [S], or runs by metrics that are judged alike [S, M] (``coalmine.analysis.panels``).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from coalmine.analysis import crash, grids, interval, latency, mixture
from coalmine.analysis.channels import Counts, NoHarm, Pace, ShareRule, Shares, level
from coalmine.analysis.crash import Crash
from coalmine.analysis.dispersion import Dispersion, Prior
from coalmine.analysis.grids import Array, Integers, Mask, Numeric
from coalmine.analysis.readings import Reading, read_latencies, read_ratios
from coalmine.analysis.scores import bucket_scores, tilt_increments
from coalmine.analysis.tempering import Bets, Weighing
from coalmine.analysis.trees import Capital, Count, Index
from coalmine.analysis.windows import Bounds, MetricWindow

_LOG_HALF, _LOG_QUARTER = float(np.log(0.5)), float(np.log(0.25))
_SMALLEST = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class RatioCounts:
    """One window of a ratio metric for a batch, each [...]; ``present`` False = missing."""

    canary: Numeric
    canary_events: Numeric
    baseline: Numeric
    baseline_events: Numeric
    present: Mask


@dataclass(frozen=True)
class HistogramCounts:
    """One window of a latency metric for a batch, each [..., B]; ``present`` [...]."""

    canary: Numeric
    baseline: Numeric
    present: Mask


@dataclass(frozen=True)
class Fact:
    """What needs no evidence, [...]: whether a plain limit is broken, and whether it is kept so far."""

    broken: Mask
    kept: Mask


class Weighed(NamedTuple):
    """``ln E`` of one metric, [...]: harm, harm without rank scores, crash (None without a guard), no harm."""

    harm: Array
    without_scores: Array
    crash: Array | None
    no_harm: Array
    phi: Array | None = None
    """Dispersion of the channels harm was judged by, [..., C]; None where the kind needs none to be read."""
    curve: Array | None = None
    """Their likelihood, [..., C, 41]: what their intervals are read from at this dispersion."""
    shares: Array | None = None
    """Of each watched bound, [..., C]; latency only."""
    estimate: Array | None = None
    """Odds ratios at the watched bounds, [..., C]; latency only."""
    fact: Fact | None = None
    """Plain limits beside the evidence; None without any."""
    spread: tuple[Array, Array] | None = None
    """Variance of a block's difference and its degrees of freedom, in each series; values only."""
    ends: tuple[Array, Array] | None = None
    """Intervals of the channels, where they are worked out already: lower and upper ends, each [..., C]."""

    def intervals(self, alpha: float) -> tuple[Array, Array]:
        """Lower and upper ends of the channels' odds ratios, each [..., C]."""
        assert self.curve is not None
        assert self.phi is not None
        return interval.interval(self.curve, self.phi, alpha) if self.ends is None else self.ends

    def of(self, place: int) -> Weighed:
        """Of one metric of a panel [S, M], by its place there; facts are of metrics that stand alone."""
        return Weighed(
            self.harm[:, place],
            self.without_scores[:, place],
            None if self.crash is None else self.crash[:, place],
            self.no_harm[:, place],
        )


@dataclass(frozen=True)
class RatioState:
    """State of a ratio metric; arrays [..., 1, ...]."""

    shares: Shares
    no_harm: NoHarm
    crash: Crash


@dataclass(frozen=True)
class RatioMetric:
    """A ratio metric: the conditional e-process with floor, crash guard and the no-harm direction."""

    margin: float
    floor: float
    no_harm: float
    prior: Prior
    """Noise of the channel ``events``, [..., 1]."""
    others: tuple[RatioMetric, ...] = ()
    """Those beside it, of a batch [S, M]."""
    counts = RatioCounts

    @cached_property
    def rule(self) -> ShareRule:
        return ShareRule(*_columns((self, *self.others)), crash.ratios)

    @property
    def alike(self) -> Hashable:
        return RatioMetric, self.prior.alike

    def beside(self, others: Sequence[RatioMetric]) -> RatioMetric:
        """This and others that are alike as one, of a batch [S, M]."""
        return replace(self, prior=self.prior.beside([other.prior for other in others]), others=tuple(others))

    def start(self, size: int, bounds: Bounds = ()) -> RatioState:
        """Nothing seen, for ``size`` runs."""
        shape = (size, 1)
        return RatioState(Shares.start(shape), NoHarm.start(shape), Crash.start(shape))

    def update(self, state: RatioState, counts: RatioCounts, pace: Pace) -> RatioState:
        """Fold one window in."""
        present = counts.present[..., None]
        arms = (counts.canary, counts.canary_events, counts.baseline, counts.baseline_events)
        look = Counts(*(np.asarray(values, float)[..., None] for values in arms)).where(present)
        shares, no_harm, guard = self.rule.update(state.shares, look, present, self.prior, pace)
        return RatioState(
            shares, state.no_harm.fold(look, no_harm, pace), state.crash.fold(look, guard, pace.log_weight)
        )

    def weighing(self, state: RatioState, unspent: float) -> Weighing[Weighed]:
        """The evidence so far."""
        phi = state.shares.phi(self.prior)
        proofs = state.no_harm.bets(phi, self.rule.no_harm_log_prior)
        relative, below, *against = yield [*proofs, *self.rule.bets(state.shares, phi)]
        harm = self.rule.log_evidence(state.shares, *against)[..., 0]
        no_harm = state.no_harm.log_evidence(relative, below)[..., 0]
        return Weighed(harm, harm, state.crash.log_evidence(unspent)[..., 0], no_harm, phi, state.shares.curve)

    def take(
        self, bounds: Bounds, window: MetricWindow, share: float | None, reason: str
    ) -> tuple[Bounds, RatioCounts, str]:
        """One run's window as a batch of one; see ``coalmine.analysis.kinds``."""
        canary, baseline = (np.array([[arm.total], [arm.events]]) for arm in (window.canary, window.baseline))
        counts = RatioCounts(canary[0], canary[1], baseline[0], baseline[1], np.array([not reason]))
        return bounds, counts, reason

    def seen(self, state: RatioState) -> tuple[Array, Array]:
        """Requests of canary and baseline so far."""
        return state.shares.canary[..., 0], state.shares.baseline[..., 0]

    def read(self, names: Sequence[str], state: RatioState, weighed: Weighed, alpha: float) -> list[Reading]:
        """What one run shows."""
        return read_ratios(names, [metric.margin for metric in (self, *self.others)], state, weighed, alpha)


@dataclass(frozen=True)
class LatencyState:
    """State of a latency metric: ``slots`` [..., C] are the watched bounds, ``scores`` [..., 2, P, K]."""

    bounds: Bounds
    canary: Count
    baseline: Count
    slots: Index
    scores: Capital
    score_noise: Dispersion
    shares: Shares
    no_harm: NoHarm


@dataclass(frozen=True)
class LatencyMetric:
    """A latency metric: rank scores over all buckets, and exceedances of a few bounds."""

    margin: float
    floor: float
    no_harm: float
    score_prior: Prior
    """Noise of the channels ``normal`` and ``savage``, [..., 2]."""
    share_prior: Prior
    """Noise of the exceedances, [..., C]: the objective's first when there is one, then p97, p99.9, p90."""
    objective: float | None = None
    """Seconds."""
    others: tuple[LatencyMetric, ...] = ()
    """Those beside it, of a batch [S, M]."""
    counts = HistogramCounts

    @cached_property
    def rule(self) -> ShareRule:
        return ShareRule(*_columns((self, *self.others)), log_prior=grids.EXCEEDANCE_LOG_PRIOR)

    @property
    def alike(self) -> Hashable:
        return LatencyMetric, self.objective is None, self.score_prior.alike, self.share_prior.alike

    def beside(self, others: Sequence[LatencyMetric]) -> LatencyMetric:
        """This and others that are alike as one, of a batch [S, M]."""
        scores = self.score_prior.beside([other.score_prior for other in others])
        shares = self.share_prior.beside([other.share_prior for other in others])
        return replace(self, score_prior=scores, share_prior=shares, others=tuple(others))

    @property
    def slot_names(self) -> tuple[str, ...]:
        names = tuple(latency.QUANTILE_SLOTS)
        return names if self.objective is None else (latency.OBJECTIVE_SLOT, *names)

    @property
    def required(self) -> int:
        """How many of the first slots must show no harm: p97, and the objective."""
        return 1 if self.objective is None else 2

    def start(self, size: int, bounds: Bounds = ()) -> LatencyState:
        """Nothing seen, for ``size`` runs with these bounds."""
        slots, buckets = len(self.slot_names), len(bounds) + 1
        return LatencyState(
            bounds=bounds,
            canary=np.zeros((size, buckets)),
            baseline=np.zeros((size, buckets)),
            slots=np.full((size, slots), latency.UNUSED),
            scores=mixture.empty((size, 2), grids.TILTS.size),
            score_noise=Dispersion.start((size, 2)),
            shares=Shares.start((size, slots)),
            no_harm=NoHarm.start((size, self.required)),
        )

    def with_bounds(self, state: LatencyState, bounds: Bounds) -> LatencyState:
        """The same evidence on other bounds: all of them new while nothing was seen, else some of those it has."""
        if not state.bounds:
            none = np.zeros((*state.canary.shape[:-1], len(bounds) + 1))
            return replace(state, bounds=bounds, canary=none, baseline=none)
        watched = np.array([*state.bounds])[np.maximum(state.slots, 0)]
        # A bound of 0 has no logarithm: it is far from all others.
        kept, before = (np.log(np.maximum(seconds, _SMALLEST)) for seconds in (np.array(bounds), watched))
        nearest = np.abs(kept - before[..., None]).argmin(axis=-1)
        return replace(
            state,
            bounds=bounds,
            canary=latency.merge_buckets(state.canary, state.bounds, bounds),
            baseline=latency.merge_buckets(state.baseline, state.bounds, bounds),
            slots=np.where(state.slots >= 0, nearest, latency.UNUSED).astype(np.int64),
        )

    def update(self, state: LatencyState, counts: HistogramCounts, pace: Pace) -> LatencyState:
        """Fold one window in."""
        present = counts.present[..., None]
        arms = (np.asarray(values, float) for values in (counts.canary, counts.baseline))
        look_c, look_b = arms if grids.every(counts.present) else (np.where(present, values, 0.0) for values in arms)
        canary, baseline = state.canary + look_c, state.baseline + look_b
        slots = self._slots(state, canary + baseline)
        scores, noise = self._update_scores(state, look_c, look_c + look_b, canary + baseline, present, pace)

        watched = slots >= 0
        look, totals = _watch(look_c, look_b, slots), _watch(canary, baseline, slots)
        shares, no_harm, _ = self.rule.update(state.shares, look, present & watched, self.share_prior, pace)
        # Until the bounds settle a slot may move; its totals are then those of the bound it watches now.
        shares = Shares(
            totals.canary,
            totals.canary_events,
            totals.baseline,
            totals.baseline_events,
            expected=shares.expected,
            curve=shares.curve,
            relative=shares.relative,
            floor=shares.floor,
            noise=shares.noise,
        )
        first = slice(0, self.required)
        proof = Counts(
            *(getattr(look, name)[..., first] for name in ("canary", "canary_events", "baseline", "baseline_events"))
        )
        return LatencyState(
            bounds=state.bounds,
            canary=canary,
            baseline=baseline,
            slots=slots,
            scores=scores,
            score_noise=noise,
            shares=shares,
            no_harm=state.no_harm.fold(proof, no_harm[..., first, :], pace),
        )

    def weighing(self, state: LatencyState, unspent: float) -> Weighing[Weighed]:
        """The evidence so far: a quarter normal scores, a quarter Savage, half shared by the watched bounds."""
        watched = state.slots >= 0
        any_watched = np.logical_or.reduce(watched, axis=-1)
        share_phi = self.share_phi(state)
        first = slice(0, self.required)
        proofs = state.no_harm.bets(share_phi[..., first], self.rule.no_harm_log_prior)
        tilted = Bets(state.scores, grids.TILT_LOG_PRIOR, self._score_phi(state))
        relative, below, scores, *against = yield [*proofs, tilted, *self.rule.bets(state.shares, share_phi)]
        shares = self.rule.log_evidence(state.shares, *against)
        number = np.maximum(np.add.reduce(watched, axis=-1, keepdims=True), 1)
        share_mean = mixture.log_sum(np.where(watched, shares - np.log(number), -np.inf))
        share_mean = np.where(any_watched, share_mean, 0.0)
        estimate = state.shares.estimate()
        bounded = self.rule.margin > 1.0
        if grids.some(bounded):
            worse = (estimate > self.rule.margin) & watched
            scores = np.where(worse.any(-1, keepdims=True) | ~bounded, scores, np.minimum(scores, 0.0))
        without = np.logaddexp(share_mean + _LOG_HALF, _LOG_HALF)
        both = np.logaddexp(scores[..., 0], scores[..., 1])
        harm = np.logaddexp(share_mean + _LOG_HALF, both + _LOG_QUARTER)
        proof = state.no_harm.log_evidence(relative, below)
        required = watched[..., first]
        proven = np.minimum.reduce(np.where(required, proof, np.inf), axis=-1)
        no_harm = np.where(np.logical_or.reduce(required, axis=-1), proven, 0.0)
        return Weighed(harm, without, None, no_harm, share_phi, state.shares.curve, shares, estimate)

    def share_phi(self, state: LatencyState) -> Array:
        """The dispersion to judge the watched bounds by, [..., C].

        Requests of one slow client come together above any bound, so a rarer one is as noisy for each event. Where
        another bound is watched than the noise was learnt at, which was about as rare as the quantile's is, it is not
        taken to be less noisy than a bound as rare as that.
        """
        rate = level(state.shares.totals)
        learnt = self._learnt(state.bounds)
        if learnt is not None:
            rate = np.where(state.slots == learnt, rate, np.maximum(rate, self._wanted))
        return state.shares.noise.lagged(self.share_prior, rate)

    @cached_property
    def _wanted(self) -> Array:
        """Variance of one request's event above each slot's quantile, [C]; 0 for an objective."""
        shares = [latency.QUANTILE_SLOTS.get(name, 0.0) for name in self.slot_names]
        return np.array([share * (1.0 - share) for share in shares])

    def take(
        self, bounds: Bounds, window: MetricWindow, share: float | None, reason: str
    ) -> tuple[Bounds, HistogramCounts, str]:
        """The counts on bounds the evidence shares; bounds that changed under way are merged to the common ones."""
        if not reason and bounds != window.bounds:
            common = latency.common_bounds(bounds, window.bounds) if bounds else window.bounds
            if common:
                bounds = common
            else:
                before = ", ".join(f"{bound:g}" for bound in bounds)
                reason = f"the histogram's bounds changed and share none with those before ({before})"
        if reason:
            nothing = np.zeros((1, len(bounds) + 1))
            return bounds, HistogramCounts(nothing, nothing, np.zeros(1, bool)), reason
        canary, baseline = (np.array([arm.buckets]) for arm in (window.canary, window.baseline))
        if bounds != window.bounds:
            canary, baseline = (latency.merge_buckets(arm, window.bounds, bounds) for arm in (canary, baseline))
        return bounds, HistogramCounts(canary, baseline, np.ones(1, bool)), ""

    def seen(self, state: LatencyState) -> tuple[Array, Array]:
        """Requests of canary and baseline so far."""
        return state.canary.sum(-1), state.baseline.sum(-1)

    def read(self, names: Sequence[str], state: LatencyState, weighed: Weighed, alpha: float) -> list[Reading]:
        """What one run shows."""
        return read_latencies(names, [metric.margin for metric in (self, *self.others)], state, weighed, alpha)

    def _slots(self, state: LatencyState, pooled: Array) -> Integers:
        settled = np.add.reduce(state.canary + state.baseline, axis=-1, keepdims=True) >= latency.SETTLED
        if grids.every(settled):
            return state.slots
        objectives = [metric.objective for metric in (self, *self.others) if metric.objective is not None]
        nearest = [latency.objective_bound(state.bounds, objective) for objective in objectives]
        objective = None if not nearest else np.array(nearest) if self.others else nearest[0]
        chosen = latency.choose_bounds(pooled, objective, learnt=self._learnt(state.bounds))
        return np.where(settled, state.slots, chosen).astype(np.int64)

    def _learnt(self, bounds: Bounds) -> Integers | None:
        """Index of the bound each slot's noise was learnt at; None where the history says none."""
        return None if self.share_prior.bounds is None else latency.places(bounds, self.share_prior.bounds)

    def _score_phi(self, state: LatencyState) -> Array:
        return state.score_noise.lagged(self.score_prior, np.ones(2))

    def _update_scores(
        self, state: LatencyState, canary: Array, pooled: Array, so_far: Array, present: Mask, pace: Pace
    ) -> tuple[Array, Dispersion]:
        increments, t, v = tilt_increments(canary, pooled, bucket_scores(so_far), grids.TILTS)
        capital = mixture.fold(state.scores, pace.log_weight, increments, pace.cap)
        return capital, pace.noise(state.score_noise, (t, v, v, np.ones(2)), present)


def _columns(metrics: Sequence[RatioMetric | LatencyMetric]) -> tuple[Array, Array, Array]:
    """Margins, floors and no-harm margins for the channels of each metric, [M, 1]; of a single one [1]."""
    rows = np.array([(metric.margin, metric.floor, metric.no_harm) for metric in metrics]).T[..., None]
    margin, floor, no_harm = rows if len(metrics) > 1 else rows[:, 0]
    return margin, floor, no_harm


def _watch(canary: Array, baseline: Array, slots: Integers) -> Counts:
    """Requests above the watched bounds, [..., C], of both arms' buckets [..., B]; 0 where a slot watches none."""
    watched = slots >= 0
    counts: list[Array] = []
    for arm in (canary, baseline):
        requests = np.add.reduce(arm, axis=-1, keepdims=True)
        counts += np.where(watched, requests, 0.0), latency.at_bounds(latency.above(arm), slots)
    return Counts(*counts)
