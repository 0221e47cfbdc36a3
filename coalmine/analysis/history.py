"""What earlier looks say of a service's noise: learnt once, at admission, and then fixed for the rollout.

Fit for looks of releases that were promoted, or of the baseline against itself. The caller chooses them and leaves out
those older than 30 days; fewer than 60 looks are counted here and then ignored by the judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from coalmine.analysis import grids, latency
from coalmine.analysis.channels import Counts, Pace, level, residuals, scale
from coalmine.analysis.comparison import DIFFERENCE, EVENTS, NORMAL, SAVAGE
from coalmine.analysis.correlation import long_run_factor
from coalmine.analysis.dispersion import Dispersion
from coalmine.analysis.grids import Array, Integers
from coalmine.analysis.scores import bucket_scores, tilt_increments
from coalmine.analysis.value import FEWEST_BLOCKS, ValueMetric
from coalmine.analysis.windows import MetricWindow, read_windows
from coalmine.records import ChannelHistory, MetricCounts, ServiceHistory
from coalmine.spec.metrics import Metric

_EVER = np.ones((), bool)
_LEANING = 1.5
"""Of two bounds about as near to p97 the lower is learnt, and so is watched: no harm is shown sooner by more events."""


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
        if metric.kind not in _LEARNT:
            continue
        windows = [w for row in rows if not (w := row[index]).missing and _counts(w)]
        usable.append(len(windows))
        if not windows:
            continue
        loads.append(sum(w.canary.total + w.baseline.total for w in windows) / (len(windows) * look_seconds))
        channels[metric.name] = _LEARNT[metric.kind](windows, metric, block)
    return ServiceHistory(
        looks=min(usable, default=0),
        since=since,
        until=until,
        load=round(max(loads, default=0.0), 3),
        channels=channels,
    )


class Noise(NamedTuple):
    """What looks say of the noise of channels, each [...]."""

    tau2: Array
    rho: Array
    information: Array
    """Of a typical look, which ``tau2`` times it is the excess dispersion at."""


def ratio_noise(windows: Counts, block: int) -> Noise:
    """Noise of ratio channels, [...].

    Args:
        windows: counts of all looks, each [T, ...].
        block: looks per minute.
    """
    looks = residuals(windows, margin=1.0)
    arms = (windows.canary, windows.canary_events, windows.baseline, windows.baseline_events)
    totals = Counts(*(arm.sum(axis=0) for arm in arms))
    true_scale = scale(totals, looks.expected.sum(axis=0))
    return _of_looks(looks.t, looks.v, looks.unit, block, level(totals), true_scale)


def score_noise(canary: Array, baseline: Array, block: int) -> Noise:
    """Noise of the rank scores of histograms [T, ..., B], [..., 2]."""
    pooled = canary + baseline
    _, t, v = tilt_increments(canary, pooled, bucket_scores(pooled.sum(axis=0)), grids.TILTS[:1])
    one = np.ones(t.shape[1:])
    return _of_looks(t, v, v, block, one, one)


def watched(canary: Array, baseline: Array, objective: int | None) -> Integers:
    """Indices of the bounds a comparison may watch, [..., C], from histograms [T, ..., B]; -1 = none."""
    return latency.choose_bounds((canary + baseline).sum(axis=0), objective, distinct=False, leaning=_LEANING)


def exceedances(canary: Array, baseline: Array, slots: Integers) -> Counts:
    """Requests above the bounds ``slots`` [..., C], [T, ..., C], from histograms [T, ..., B]."""
    slots = np.broadcast_to(slots, (*canary.shape[:-1], slots.shape[-1]))
    over_c, over_b = (latency.at_bounds(latency.above(arm), slots) for arm in (canary, baseline))
    n_c, n_b = (np.broadcast_to(arm.sum(axis=-1, keepdims=True), over_c.shape) for arm in (canary, baseline))
    return Counts(n_c, over_c, n_b, over_b)


def _counts(window: MetricWindow) -> bool:
    """Whether both arms have something to compare: requests, or instances; events may be none."""
    arms = (window.canary, window.baseline)
    return window.metric.kind == "count" or all(arm.total or arm.values for arm in arms)


def _ratio(windows: Sequence[MetricWindow], metric: Metric, block: int) -> dict[str, ChannelHistory]:
    counts = np.array([[w.canary.total, w.canary.events, w.baseline.total, w.baseline.events] for w in windows], float)
    return _summary((EVENTS,), ratio_noise(Counts(*counts.T[:, :, None]), block))


def _latency(windows: Sequence[MetricWindow], metric: Metric, block: int) -> dict[str, ChannelHistory]:
    bounds = windows[0].bounds
    for window in windows:
        bounds = latency.common_bounds(bounds, window.bounds) or window.bounds
    fitting = [window for window in windows if set(bounds) <= set(window.bounds)]
    canary, baseline = (
        np.array([latency.merge_buckets(np.array(getattr(w, arm).buckets), w.bounds, bounds) for w in fitting])
        for arm in ("canary", "baseline")
    )
    objective, names = None, tuple(latency.QUANTILE_SLOTS)
    if metric.objective is not None:
        objective = latency.objective_bound(bounds, metric.objective.under.total_seconds())
        names = (latency.OBJECTIVE_SLOT, *names)
    scores = _summary((NORMAL, SAVAGE), score_noise(canary, baseline, block))
    slots = watched(canary, baseline, objective)
    shares = _summary(names, ratio_noise(exceedances(canary, baseline, slots), block))
    for channel, slot in zip(shares.values(), slots.tolist(), strict=True):
        channel.bound = bounds[slot] if slot != latency.UNUSED else None
    return scores | shares


def _count(windows: Sequence[MetricWindow], metric: Metric, block: int) -> dict[str, ChannelHistory]:
    """About the share of all events: what the traffic's was is not written down."""
    canary, baseline = (np.array([getattr(w, arm).events for w in windows], float) for arm in ("canary", "baseline"))
    events = canary + baseline
    share = (canary.sum() + 0.5) / (events.sum() + 1.0)
    t, v = (canary - share * events)[:, None], (share * (1.0 - share) * events)[:, None]
    return _summary((EVENTS,), _of_looks(t, v, v, block, np.ones(1), np.ones(1)))


def _value(windows: Sequence[MetricWindow], metric: Metric, block: int) -> dict[str, ChannelHistory]:
    """Long-run variance of a block's difference, relative to the squared level."""
    judge = ValueMetric(1.0, metric.no_harm, 0.0)
    state = judge.start(1)
    for window in windows:
        _, means, _ = judge.take((), window, None, "")
        state = judge.update(state, means, Pace(0.0, 0.0, block))
    if state.blocks[0] < FEWEST_BLOCKS:
        return {}
    return _summary((DIFFERENCE,), Noise(judge.relative_variance(state), np.zeros(1), np.zeros(1)))


def _of_looks(t: Array, v: Array, unit: Array, block: int, level: Array, scale: Array) -> Noise:
    """Noise from residuals, their variances and informations, each [T, ...]; ``level`` and ``scale`` [...]."""
    noise = Dispersion.start(t.shape[1:])
    for look_t, look_v, look_unit in zip(t, v, unit, strict=True):
        noise = noise.add(look_t, look_v, look_unit, block, _EVER)
    around = t - noise.effect() * v
    return _noise(noise, level, scale, noise.of_looks(scale) * long_run_factor(around, block))


def _noise(noise: Dispersion, level: Array, scale: Array, lasting: Array) -> Noise:
    # Never less than the judge would see by itself in these looks.
    by_itself, rho = noise.observed(scale, noise=1.0)
    observed = np.maximum(lasting, by_itself)
    information = level * noise.information()
    excess = np.maximum(observed - 1.0, 0.0)
    tau2 = np.where(information > 0, excess / np.where(information > 0, information, 1.0), 0.0)
    return Noise(tau2, rho, information)


def _summary(names: Sequence[str], noise: Noise) -> dict[str, ChannelHistory]:
    rows = zip(names, *(values.tolist() for values in noise), strict=True)
    return {
        name: ChannelHistory(
            tau2=float(f"{tau2:.6g}"), rho=round(rho, 4), information=float(f"{information:.6g}") if tau2 else 0.0
        )
        for name, tau2, rho, information in rows
    }


_LEARNT: Mapping[str, Callable[[Sequence[MetricWindow], Metric, int], dict[str, ChannelHistory]]] = {
    "ratio": _ratio,
    "latency": _latency,
    "value": _value,
    "count": _count,
}
"""Kinds whose noise a history tells: the others are absolute."""
