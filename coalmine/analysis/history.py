"""What earlier looks say of a service's noise: learnt once, at admission, and then fixed for the rollout.

Fit for looks of releases that were promoted, or of the baseline against itself. The caller chooses them and leaves out those
older than 30 days; fewer than 60 looks are counted here and then ignored by the judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from coalmine.analysis import grids, latency
from coalmine.analysis.channels import Counts, Pace, ShareRule, Shares
from coalmine.analysis.comparison import EVENTS, NORMAL, SAVAGE
from coalmine.analysis.dispersion import Dispersion, Prior
from coalmine.analysis.grids import Array
from coalmine.analysis.scores import bucket_scores, tilt_increments
from coalmine.analysis.windows import MetricWindow, read_windows
from coalmine.records import ChannelHistory, MetricCounts, ServiceHistory
from coalmine.spec.canary import Metric

_NO_PRIOR = Prior(np.zeros(1), np.zeros(1, bool))
_NO_BETS = Pace(weight=0.0, unspent=1.0, cap=np.inf, block=1)


def summarise_history(
    looks: Sequence[Sequence[MetricCounts]],
    look_seconds: float,
    metrics: Sequence[Metric],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> ServiceHistory:
    """The noise of every metric and channel over these looks, oldest first.

    Args:
        looks: what each look counted for each metric, both arms; missing metrics are skipped.
        look_seconds: length of a look, in seconds.
        metrics: what the coming rollout judges; counts of other metrics are left out.
        since, until: when the looks began and ended, kept as they are.

    Returns:
        ``looks`` is the smallest number of usable looks of any metric; ``load`` is requests per second of both arms.

    Raises:
        InputError: counts that cannot be.
    """
    names = {metric.name for metric in metrics}
    rows = [
        read_windows(metrics, [counts for counts in look if counts.metric in names], compare=True) for look in looks
    ]
    block = max(1, round(60.0 / look_seconds))
    channels: dict[str, dict[str, ChannelHistory]] = {}
    usable: list[int] = []
    loads: list[float] = []
    for index, metric in enumerate(metrics):
        windows = [w for row in rows if not (w := row[index]).missing and w.canary.total and w.baseline.total]
        usable.append(len(windows))
        if not windows:
            continue
        loads.append(sum(w.canary.total + w.baseline.total for w in windows) / (len(windows) * look_seconds))
        channels[metric.name] = _ratio(windows, block) if metric.kind == "ratio" else _latency(windows, metric, block)
    return ServiceHistory(
        looks=min(usable, default=0),
        since=since,
        until=until,
        load=round(max(loads, default=0.0), 3),
        channels=channels,
    )


def _ratio(windows: Sequence[MetricWindow], block: int) -> dict[str, ChannelHistory]:
    counts = np.array([[w.canary.total, w.canary.events, w.baseline.total, w.baseline.events] for w in windows], float)
    shares = _shares(counts[:, :, None], block)
    return _summary((EVENTS,), shares.noise, shares.level(), shares.scale())


def _latency(windows: Sequence[MetricWindow], metric: Metric, block: int) -> dict[str, ChannelHistory]:
    bounds = windows[0].bounds
    for window in windows:
        bounds = latency.common_bounds(bounds, window.bounds) or window.bounds
    fitting = [window for window in windows if set(bounds) <= set(window.bounds)]
    canary, baseline = (
        np.array([latency.merge_buckets(np.array(getattr(w, arm).buckets), w.bounds, bounds) for w in fitting])
        for arm in ("canary", "baseline")
    )
    pooled = (canary + baseline).sum(axis=0)

    scores = Dispersion.start((2,))
    _, t, v = tilt_increments(canary, canary + baseline, bucket_scores(pooled), grids.TILTS[:1])
    for look_t, look_v in zip(t, v, strict=True):
        scores = scores.add(look_t, look_v, look_v, block, np.ones(2, bool))
    result = _summary((NORMAL, SAVAGE), scores, np.ones(2), np.ones(2))

    objective = None
    names = tuple(latency.QUANTILE_SLOTS)
    if metric.objective is not None:
        objective = latency.objective_bound(bounds, metric.objective.under.total_seconds())
        names = (latency.OBJECTIVE_SLOT, *names)
    slots = latency.choose_bounds(pooled, objective, distinct=False)
    over_c, over_b = (
        latency.at_bounds(latency.above(arm), np.tile(slots, (len(fitting), 1))) for arm in (canary, baseline)
    )
    n_c, n_b = (np.broadcast_to(arm.sum(-1, keepdims=True), over_c.shape) for arm in (canary, baseline))
    shares = _shares(np.stack([n_c, over_c, n_b, over_b], axis=1), block)
    return result | _summary(names, shares.noise, shares.level(), shares.scale())


def _shares(counts: Array, block: int) -> Shares:
    """Run the channels [T, 4, C] through the very update the judge uses, without bets."""
    rule, size = ShareRule(margin=1.0, floor=0.0, no_harm=1.5), counts.shape[-1]
    state, pace = Shares.start((size,)), replace(_NO_BETS, block=block)
    for look in counts:
        state, _, _ = rule.update(state, Counts(*look), np.ones(size, bool), _NO_PRIOR, pace)
    return state


def _summary(names: Sequence[str], noise: Dispersion, level: Array, scale: Array) -> dict[str, ChannelHistory]:
    observed, _ = noise.observed(scale, noise=0.0)
    information = level * noise.information()
    excess = np.maximum(observed - 1.0, 0.0)
    tau2 = np.where(information > 0, excess / np.where(information > 0, information, 1.0), 0.0)
    _, certain = noise.observed(scale, noise=1.0)
    return {
        name: ChannelHistory(tau2=float(f"{tau2[i]:.6g}"), rho=round(float(certain[i]), 4))
        for i, name in enumerate(names)
    }
