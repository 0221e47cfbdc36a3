"""Judges of one metric each, over a batch [S]: errors and other ratios, and latency. Both arms run at the same time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from coalmine.analysis import crash, grids, latency, mixture
from coalmine.analysis.channels import Counts, NoHarm, Pace, ShareRule, Shares, tempered
from coalmine.analysis.crash import Crash
from coalmine.analysis.dispersion import FOR_NO_HARM, Dispersion, Prior
from coalmine.analysis.grids import Array, Integers, Mask, Numeric
from coalmine.analysis.readings import Reading, read_latency, read_ratio
from coalmine.analysis.scores import bucket_scores, tilt_increments
from coalmine.analysis.trees import Capital, Count, Index
from coalmine.analysis.windows import MetricWindow


@dataclass(frozen=True)
class RatioCounts:
    """One window of a ratio metric for a batch, each [S]; ``present`` False = missing."""

    canary: Numeric
    canary_events: Numeric
    baseline: Numeric
    baseline_events: Numeric
    present: Mask


@dataclass(frozen=True)
class HistogramCounts:
    """One window of a latency metric for a batch, each [S, B]; ``present`` [S]."""

    canary: Numeric
    baseline: Numeric
    present: Mask


@dataclass(frozen=True)
class Fact:
    """What needs no evidence, [S]: whether a plain limit is broken, and whether it is kept so far."""

    broken: Mask
    kept: Mask


@dataclass(frozen=True)
class Weighed:
    """``ln E`` of one metric, [S]: harm, harm without rank scores, crash (None without a guard), no harm."""

    harm: Array
    without_scores: Array
    crash: Array | None
    no_harm: Array
    fact: Fact | None = None
    """Plain limits beside the evidence; None without any."""


@dataclass(frozen=True)
class RatioState:
    """State of a ratio metric; arrays [S, 1, ...]."""

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
    """Noise of the channel ``events``, shape [1]."""
    counts = RatioCounts

    @property
    def rule(self) -> ShareRule:
        return ShareRule(self.margin, self.floor, self.no_harm, crash.ratios(self.margin))

    def start(self, size: int, bounds: tuple[float, ...] = ()) -> RatioState:
        """Nothing seen, for ``size`` runs."""
        shape = (size, 1)
        return RatioState(Shares.start(shape), NoHarm.start(shape), Crash.start(shape))

    def update(self, state: RatioState, counts: RatioCounts, pace: Pace) -> RatioState:
        """Fold one window in."""
        present = counts.present[:, None]
        arms = (counts.canary, counts.canary_events, counts.baseline, counts.baseline_events)
        look = Counts(*(np.asarray(values, float)[:, None] for values in arms)).where(present)
        shares, no_harm, guard = self.rule.update(state.shares, look, present, self.prior, pace)
        return RatioState(
            shares, state.no_harm.fold(look, no_harm, pace), state.crash.fold(look, guard, pace.log_weight)
        )

    def weigh(self, state: RatioState, unspent: float) -> Weighed:
        """The evidence so far."""
        harm = self.rule.log_evidence(state.shares, self.prior, unspent)[:, 0]
        no_harm = state.no_harm.log_evidence(state.shares.phi(self.prior, FOR_NO_HARM), unspent)[:, 0]
        return Weighed(harm, harm, state.crash.log_evidence(unspent)[:, 0], no_harm)

    def take(
        self, state: RatioState, window: MetricWindow, share: float | None, reason: str
    ) -> tuple[RatioState, RatioCounts, str]:
        """One run's window as a batch of one; see ``coalmine.analysis.kinds``."""
        canary, baseline = (np.array([[arm.total], [arm.events]]) for arm in (window.canary, window.baseline))
        counts = RatioCounts(canary[0], canary[1], baseline[0], baseline[1], np.array([not reason]))
        return state, counts, reason

    def seen(self, state: RatioState) -> tuple[float, float]:
        """Requests of canary and baseline so far."""
        return float(state.shares.canary[0, 0]), float(state.shares.baseline[0, 0])

    def read(self, name: str, state: RatioState, alpha: float, unspent: float) -> Reading:
        """What one run shows."""
        return read_ratio(name, self, state, alpha)


@dataclass(frozen=True)
class LatencyState:
    """State of a latency metric: ``slots`` [S, C] are the watched bounds, ``scores`` [S, 2, P, K]."""

    bounds: tuple[float, ...]
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
    """Noise of the channels ``normal`` and ``savage``, shape [2]."""
    share_prior: Prior
    """Noise of the exceedances, shape [C]: the objective's first when there is one, then p97, p99.9, p90."""
    objective: float | None = None
    """Seconds."""
    counts = HistogramCounts

    @property
    def rule(self) -> ShareRule:
        return ShareRule(self.margin, self.floor, self.no_harm, log_prior=grids.EXCEEDANCE_LOG_PRIOR)

    @property
    def slot_names(self) -> tuple[str, ...]:
        names = tuple(latency.QUANTILE_SLOTS)
        return names if self.objective is None else (latency.OBJECTIVE_SLOT, *names)

    @property
    def required(self) -> int:
        """How many of the first slots must show no harm: p97, and the objective."""
        return 1 if self.objective is None else 2

    def start(self, size: int, bounds: tuple[float, ...] = ()) -> LatencyState:
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

    def with_bounds(self, state: LatencyState, bounds: tuple[float, ...]) -> LatencyState:
        """The same evidence on other bounds: all of them new while nothing was seen, else some of those it has."""
        if not state.bounds:
            size, buckets = state.canary.shape[0], len(bounds) + 1
            return replace(state, bounds=bounds, canary=np.zeros((size, buckets)), baseline=np.zeros((size, buckets)))
        watched = np.array([*state.bounds])[np.maximum(state.slots, 0)]
        nearest = np.abs(np.log(np.array(bounds)) - np.log(watched)[..., None]).argmin(axis=-1)
        return replace(
            state,
            bounds=bounds,
            canary=latency.merge_buckets(state.canary, state.bounds, bounds),
            baseline=latency.merge_buckets(state.baseline, state.bounds, bounds),
            slots=np.where(state.slots >= 0, nearest, latency.UNUSED).astype(np.int64),
        )

    def update(self, state: LatencyState, counts: HistogramCounts, pace: Pace) -> LatencyState:
        """Fold one window in."""
        present = counts.present[:, None]
        arms = (np.asarray(values, float) for values in (counts.canary, counts.baseline))
        look_c, look_b = (np.where(present, values, 0.0) for values in arms)
        canary, baseline = state.canary + look_c, state.baseline + look_b
        slots = self._slots(state, canary + baseline)
        scores, noise = self._update_scores(state, look_c, look_c + look_b, canary + baseline, present, pace)

        watched = slots >= 0
        over_c, over_b = (latency.at_bounds(latency.above(values), slots) for values in (look_c, look_b))
        look = Counts(
            canary=np.where(watched, look_c.sum(-1, keepdims=True), 0.0),
            canary_events=over_c,
            baseline=np.where(watched, look_b.sum(-1, keepdims=True), 0.0),
            baseline_events=over_b,
        )
        shares, no_harm, _ = self.rule.update(state.shares, look, present & watched, self.share_prior, pace)
        # Until the bounds settle a slot may move; its totals are then those of the bound it watches now.
        shares = replace(
            shares,
            canary=np.where(watched, canary.sum(-1, keepdims=True), 0.0),
            canary_events=latency.at_bounds(latency.above(canary), slots),
            baseline=np.where(watched, baseline.sum(-1, keepdims=True), 0.0),
            baseline_events=latency.at_bounds(latency.above(baseline), slots),
        )
        first = slice(0, self.required)
        proof = Counts(
            *(getattr(look, name)[:, first] for name in ("canary", "canary_events", "baseline", "baseline_events"))
        )
        return LatencyState(
            bounds=state.bounds,
            canary=canary,
            baseline=baseline,
            slots=slots,
            scores=scores,
            score_noise=noise,
            shares=shares,
            no_harm=state.no_harm.fold(proof, no_harm[:, first], pace),
        )

    def weigh(self, state: LatencyState, unspent: float) -> Weighed:
        """The evidence so far: a quarter normal scores, a quarter Savage, half shared by the watched bounds."""
        watched = state.slots >= 0
        shares = self.rule.log_evidence(state.shares, self.share_prior, unspent)
        number = np.maximum(watched.sum(-1, keepdims=True), 1)
        share_mean = mixture.log_sum(np.where(watched, shares - np.log(number), -np.inf))
        share_mean = np.where(watched.any(-1), share_mean, 0.0)
        phi = self._score_phi(state)
        scores = tempered(state.scores, grids.TILT_LOG_PRIOR, phi, unspent)
        if self.margin > 1.0:
            worse = (np.nan_to_num(state.shares.estimate(), nan=0.0) > self.margin) & watched
            scores = np.where(worse.any(-1, keepdims=True), scores, np.minimum(scores, 0.0))
        log_half, log_quarter = np.log(0.5), np.log(0.25)
        without = np.logaddexp(share_mean + log_half, log_half)
        harm = np.logaddexp(share_mean + log_half, np.logaddexp(*np.moveaxis(scores, -1, 0)) + log_quarter)
        first = slice(0, self.required)
        phi = state.shares.phi(self.share_prior, FOR_NO_HARM)[:, first]
        proof = state.no_harm.log_evidence(phi, unspent)
        proven = np.where(watched[:, first], proof, np.inf).min(-1)
        return Weighed(harm, without, None, np.where(watched[:, first].any(-1), proven, 0.0))

    def take(
        self, state: LatencyState, window: MetricWindow, share: float | None, reason: str
    ) -> tuple[LatencyState, HistogramCounts, str]:
        """The counts on bounds the evidence shares; bounds that changed under way are merged to the common ones."""
        if not reason and state.bounds != window.bounds:
            common = latency.common_bounds(state.bounds, window.bounds) if state.bounds else window.bounds
            if common:
                state = self.with_bounds(state, common)
            else:
                before = ", ".join(f"{bound:g}" for bound in state.bounds)
                reason = f"the histogram's bounds changed and share none with those before ({before})"
        if reason:
            nothing = np.zeros((1, len(state.bounds) + 1))
            return state, HistogramCounts(nothing, nothing, np.zeros(1, bool)), reason
        canary, baseline = (
            latency.merge_buckets(np.array([arm.buckets]), window.bounds, state.bounds)
            for arm in (window.canary, window.baseline)
        )
        return state, HistogramCounts(canary, baseline, np.ones(1, bool)), ""

    def seen(self, state: LatencyState) -> tuple[float, float]:
        """Requests of canary and baseline so far."""
        return float(state.canary.sum()), float(state.baseline.sum())

    def read(self, name: str, state: LatencyState, alpha: float, unspent: float) -> Reading:
        """What one run shows."""
        return read_latency(name, self, state, alpha, unspent)

    def _slots(self, state: LatencyState, pooled: Array) -> Integers:
        settled = (state.canary + state.baseline).sum(-1, keepdims=True) >= latency.SETTLED
        objective = None if self.objective is None else latency.objective_bound(state.bounds, self.objective)
        chosen = latency.choose_bounds(pooled, objective)
        return np.where(settled, state.slots, chosen).astype(np.int64)

    def _score_phi(self, state: LatencyState) -> Array:
        return state.score_noise.lagged(self.score_prior, np.ones(2))

    def _update_scores(
        self, state: LatencyState, canary: Array, pooled: Array, so_far: Array, present: Mask, pace: Pace
    ) -> tuple[Array, Dispersion]:
        increments, t, v = tilt_increments(canary, pooled, bucket_scores(so_far), grids.TILTS)
        capital = mixture.fold(state.scores, pace.log_weight, increments, pace.cap)
        noise = state.score_noise.add(t, v, v, pace.block, present)
        observed, _ = noise.observed(np.ones(2), noise=1.0)
        return capital, noise.remember(observed, present)
