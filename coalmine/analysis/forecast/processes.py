"""The judge's processes for planned looks: the same grids, priors and nulls as its own, on expected counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from coalmine.analysis import grids, latency, mixture
from coalmine.analysis.forecast.evidence import Evidence, Process, Statistic, Traffic, View
from coalmine.analysis.forecast.noise import Noise, Residuals
from coalmine.analysis.grids import Array, Integers
from coalmine.analysis.scores import bucket_scores, tilt_increments


@dataclass(frozen=True)
class Rule:
    """What a metric is judged by."""

    margin: float
    floor: float
    no_harm: float
    burst: float = 1.0
    """Part of the cap that one window of events may add for harm."""
    proof_burst: float = 1.0
    """Part of the cap that one window may add to the proof of no harm against the baseline."""


def events_statistic(traffic: Traffic, on: Array, noise: Noise, margin: float, block: int) -> Statistic:
    """Canary events, those in the buckets marked by ``on`` [B]."""
    arms = [part for arm in (traffic.canary, traffic.baseline) for part in (arm.sum(axis=-1), (arm * on).sum(axis=-1))]
    found = Residuals.of_events(arms[0], arms[1], arms[2], arms[3], margin, block)
    return Statistic(np.broadcast_to(on, traffic.canary.shape), noise, found)


def share_harm(traffic: Traffic, statistic: Statistic, rule: Rule, log_prior: Array = grids.HARM_LOG_PRIOR) -> Evidence:
    """Events against "at most the margin, or the floor"; nothing on fewer than five."""
    relative = _relative(traffic, statistic, rule.margin, rule.margin * grids.HARM_RATIOS, log_prior)
    above = (
        _one_sample(traffic, statistic, rule.floor, grids.FLOOR_RATIOS, grids.FLOOR_LOG_PRIOR)
        if rule.floor > 0
        else None
    )

    relative = replace(relative, burst=rule.burst)
    above = None if above is None else replace(above, burst=rule.burst)

    def evidence(view: View) -> Array:
        found = view.log_evidence(relative)
        if above is not None:
            found = np.minimum(found, view.log_evidence(above))
        return np.where(view.seen(statistic) >= grids.MIN_EVENTS - 1e-6, found, np.minimum(found, 0.0))

    return evidence


def share_no_harm(traffic: Traffic, statistic: Statistic, rule: Rule) -> Evidence:
    """Events against "at least the no-harm margin, and at least the level that matters"."""
    return _either(_within(traffic, statistic, rule), _below(traffic, statistic, grids.NO_HARM_SHARE))


def count_no_harm(traffic: Traffic, statistic: Statistic, rule: Rule) -> Evidence:
    """Events without requests against "at least the no-harm margin", and at least the floor when there is one."""
    within = _within(traffic, statistic, rule)
    if rule.floor > 0:
        return _either(within, _below(traffic, statistic, rule.floor))
    return lambda view: view.log_evidence(within)


def _within(traffic: Traffic, statistic: Statistic, rule: Rule) -> Process:
    prior = grids.no_harm_log_prior(np.array(rule.no_harm))
    process = _relative(traffic, statistic, rule.no_harm, rule.no_harm * grids.NO_HARM_RATIOS, prior)
    return replace(process, rounded=False, burst=rule.proof_burst)


def _below(traffic: Traffic, statistic: Statistic, share: float) -> Process:
    process = _one_sample(traffic, statistic, share, grids.NO_HARM_RATIOS, grids.BELOW_LOG_PRIOR)
    return replace(process, rounded=False)


def _either(within: Process, below: Process) -> Evidence:
    def evidence(view: View) -> Array:
        result: Array = np.logaddexp(
            view.log_evidence(within) + grids.RELATIVE_LOG_SHARE, view.log_evidence(below) + grids.BELOW_LOG_SHARE
        )
        return result

    return evidence


def burn_statistic(traffic: Traffic, limit: float, block: int) -> Statistic:
    """Bad requests of the canary, whose noise is taken about the lowest share that burns too fast."""
    n, x = traffic.canary.sum(axis=-1), traffic.canary[:, 1]
    rate = x / np.maximum(n, 1e-300)
    looks = Residuals(x - limit * n, n * rate * (1.0 - rate), np.zeros_like(n), x, block)
    return Statistic(np.broadcast_to(np.array([0.0, 1.0]), traffic.canary.shape), Noise(), looks)


def burn_harm(traffic: Traffic, statistic: Statistic, limits: list[float], number: int, burst: float) -> Evidence:
    """Mean over ``number`` burn rates of the evidence against each; those of ``limits`` are shown by their windows."""
    fast = [
        replace(_one_sample(traffic, statistic, limit, grids.HARM_RATIOS, grids.HARM_LOG_PRIOR), burst=burst)
        for limit in limits
    ]

    def evidence(view: View) -> Array:
        enough = view.seen(statistic) >= grids.MIN_EVENTS - 1e-6
        parts = [np.where(enough, found, np.minimum(found, 0.0)) for found in map(view.log_evidence, fast)]
        result: Array = mixture.log_sum(np.stack(parts, axis=-1)) - np.log(number)
        return result

    return evidence


def burn_no_harm(traffic: Traffic, statistic: Statistic, limit: float) -> Evidence:
    """Against "at least the lowest burn rate"."""
    slow = _one_sample(traffic, statistic, limit, grids.NO_HARM_RATIOS, grids.NO_HARM_LOG_PRIOR)
    return lambda view: view.log_evidence(slow)


def crash(traffic: Traffic, statistic: Statistic, margin: float) -> Evidence:
    """Most of the canary's requests fail, and the odds are over twice the baseline's."""
    odds = grids.CRASH_LEVELS / (1.0 - grids.CRASH_LEVELS)
    level = _one_sample(traffic, statistic, grids.CRASH_SHARE, odds, grids.CRASH_LEVEL_LOG_PRIOR, tempered=False)
    null = max(grids.CRASH_RATIO, margin)
    relative = _relative(traffic, statistic, null, null * grids.HARM_RATIOS, grids.HARM_LOG_PRIOR, tempered=False)

    def evidence(view: View) -> Array:
        return np.minimum(view.log_evidence(level), view.log_evidence(relative))

    return evidence


def latency_slots(traffic: Traffic, objective: int | None, learnt: Integers | None = None) -> list[tuple[int, int]]:
    """Slot and bound of each bound the judge will watch; ``learnt`` as ``latency.choose_bounds`` takes it."""
    pooled = traffic.pooled.sum(axis=0)
    chosen = latency.choose_bounds(pooled / pooled.sum() * 1e9, objective, learnt=learnt)
    return [(slot, int(bound)) for slot, bound in enumerate(chosen) if bound >= 0]


def latency_harm(
    traffic: Traffic, slots: list[Statistic], score_noise: tuple[Noise, Noise], rule: Rule, block: int
) -> tuple[Evidence, list[Statistic]]:
    """A quarter normal scores, a quarter Savage, half shared by the watched bounds; and the scores' statistics."""
    scores = [_scores(traffic, kind, noise, block) for kind, noise in enumerate(score_noise)]
    shares = [share_harm(traffic, slot, rule, grids.EXCEEDANCE_LOG_PRIOR) for slot in slots]
    # With a margin the scores count only while some bound's odds are above it.
    counted = rule.margin <= 1.0 or any(_odds_ratio(traffic, slot) > rule.margin for slot in slots)

    def evidence(view: View) -> Array:
        parts = [share(view) + np.log(0.5 / len(shares)) for share in shares]
        for score in scores:
            found = view.log_evidence(score)
            parts.append((found if counted else np.minimum(found, 0.0)) + np.log(0.25))
        return mixture.log_sum(np.stack(parts, axis=-1))

    return evidence, [score.statistic for score in scores]


def latency_no_harm(traffic: Traffic, slots: list[Statistic], rule: Rule) -> Evidence:
    """Every bound that promotion requires, at once."""
    proofs = [share_no_harm(traffic, slot, rule) for slot in slots]

    def evidence(view: View) -> Array:
        result: Array = np.min([proof(view) for proof in proofs], axis=0)
        return result

    return evidence


def _relative(
    traffic: Traffic, statistic: Statistic, null: float, ratios: Array, log_prior: Array, *, tempered: bool = True
) -> Process:
    events = (traffic.pooled * statistic.on).sum(axis=-1)
    canary, baseline = traffic.canary.sum(axis=-1), traffic.baseline.sum(axis=-1)
    normaliser = mean_normaliser(canary, baseline, events, np.append(ratios, null))
    return Process(
        statistic, np.log(ratios / null), normaliser[:, :-1] - normaliser[:, -1:], log_prior, tempered=tempered
    )


def _one_sample(
    traffic: Traffic, statistic: Statistic, null: float, odds_ratios: Array, log_prior: Array, *, tempered: bool = True
) -> Process:
    # What a rarer count than any tolerates is more than one event a trial: as good as all of them.
    null = min(null, 1.0 - 1e-9)
    odds = null / (1.0 - null) * odds_ratios
    cost = traffic.canary.sum(axis=-1)[:, None] * (np.log1p(odds) + np.log1p(-null))
    return Process(statistic, np.log(odds_ratios), cost, log_prior, tempered=tempered)


def _scores(traffic: Traffic, kind: int, noise: Noise, block: int) -> Process:
    scores = bucket_scores(traffic.pooled.sum(axis=0) * 1e6)[kind]
    increments, totals, variance = tilt_increments(traffic.canary, traffic.pooled, scores[None], grids.TILTS)
    middle = (traffic.pooled * scores).sum(axis=-1) / np.maximum(traffic.pooled.sum(axis=-1), 1e-300)
    found = Residuals(totals[:, 0], variance[:, 0], variance[:, 0], traffic.pooled.sum(axis=-1), block)
    statistic = Statistic(scores - middle[:, None], noise, found, counts=False)
    cost = grids.TILTS * totals - increments[:, 0]
    return Process(statistic, grids.TILTS, cost, grids.TILT_LOG_PRIOR)


def _odds_ratio(traffic: Traffic, statistic: Statistic) -> float:
    arms = []
    for counts in (traffic.canary, traffic.baseline):
        share = (counts * statistic.on)[-1].sum() / counts[-1].sum()
        arms.append(share / (1.0 - share) if share < 1.0 else np.inf)
    return float(arms[0] / arms[1]) if arms[1] > 0 else float("inf")


def mean_normaliser(canary: Array, baseline: Array, events: Array, ratios: Array) -> Array:
    """``increments.log_normaliser`` for counts that are expectations: its leading term, linear in the size of the look.

    Args:
        canary, baseline, events: not whole, [...].
        ratios: [K].

    Returns:
        [..., K]; 0 where nothing but the totals is possible.
    """
    open_ = (events > 0) & (events < canary + baseline) & (canary > 0) & (baseline > 0)
    n_c, n_b, e = (np.where(open_, values, 1.0)[..., None] for values in (canary, baseline, events))
    a = ratios * (n_c + n_b - e)
    b = ratios * n_c + n_b - e * (1.0 + ratios)
    root = np.sqrt(b * b + 4.0 * a * e)
    s = np.where(b > 0, 2.0 * e / (b + root), (root - b) / (2.0 * a))
    first_order = n_c * np.log1p(ratios * s) + n_b * np.log1p(s) - e * np.log(s)
    result: Array = np.where(open_[..., None], first_order, 0.0)
    return result
