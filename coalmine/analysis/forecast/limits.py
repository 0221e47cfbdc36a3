"""What is exact of absolute limits: how soon an objective's windows show a fast burn, and a plain limit fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import numpy as np

from coalmine.analysis.forecast.told import Burn, Limit
from coalmine.analysis.grids import Array
from coalmine.spec.durations import format_duration
from coalmine.spec.metrics import Metric, Slo
from coalmine.spec.steps import Step

_HAIR = 1e-9


def burns_of(metric: Metric, steps: Sequence[Step], look: timedelta, burning: Sequence[float] = ()) -> Iterator[Burn]:
    """What the windows of an objective will show; nothing for other metrics.

    Args:
        metric: its ``slo``.
        steps: of the plan.
        look: time between looks.
        burning: how many times too fast the canary burns; none: twice each burn rate.
    """
    if metric.slo is None:
        return
    most = 1.0 / (1.0 - metric.slo.objective)
    asked = sorted({min(times, most) for times in burning or _twice(metric.slo)})
    for number in range(len(steps)):
        for burn in metric.slo.burn:
            for times in asked:
                in_long, in_short = (
                    _shown(times, burn.rate, window, steps[: number + 1], look) for window in (burn.long, burn.short)
                )
                yield Burn(
                    metric=metric.name,
                    rate=burn.rate,
                    long=burn.long,
                    short=burn.short,
                    times=float(f"{times:.6g}"),
                    step=number + 1,
                    shown=None if in_long is None or in_short is None else max(in_long, in_short),
                    in_long=in_long,
                    in_short=in_short,
                )


def limit_of(metric: Metric, look: timedelta) -> Limit | None:
    """When a plain limit fails at the earliest; None for other metrics."""
    if metric.limits is None:
        return None
    looks = metric.limits.failures
    return Limit(metric=metric.name, looks=looks, lasts=looks * look)


def limit_warnings(
    metrics: Sequence[Metric], steps: Sequence[Step], look: timedelta, burns: Sequence[Burn]
) -> Iterator[str]:
    """What cannot happen within the plan."""
    whole = sum((step.for_ for step in steps), timedelta(0))
    for metric in metrics:
        if metric.slo is not None:
            yield from _unreachable(metric.name, metric.slo)
        limit = limit_of(metric, look)
        if limit is not None and limit.lasts > whole:
            yield (
                f"{metric.name} fails after {limit.looks:,} looks beyond its limits, {format_duration(limit.lasts)}, "
                f"and the steps last {format_duration(whole)}: let fewer failures do"
            )
    for burn in burns:
        step = steps[burn.step - 1]
        if burn.shown is not None and burn.shown > step.for_:
            yield (
                f"step {burn.step}, {step.weight:g} % for {format_duration(step.for_)}, is over before {burn.metric} "
                f"shows a canary that begins with it to burn {burn.times:g} times too fast: the windows of "
                f"{burn.rate:g}, {format_duration(burn.long)} and {format_duration(burn.short)}, need "
                f"{format_duration(burn.shown)}"
            )


def _twice(slo: Slo) -> list[float]:
    return [2.0 * burn.rate for burn in slo.burn]


def _unreachable(name: str, slo: Slo) -> Iterator[str]:
    most = 1.0 / (1.0 - slo.objective)
    for burn in slo.burn:
        if burn.rate > most * (1.0 + _HAIR):
            yield (
                f"{name} never burns {burn.rate:g} times too fast: with every request bad it is {most:.4g} times; "
                "choose a lower rate"
            )


def _shown(times: float, rate: float, window: timedelta, steps: Sequence[Step], look: timedelta) -> timedelta | None:
    """The first look of the last step at which the window's share of bad requests reaches the rate."""
    if times < rate * (1.0 - _HAIR):
        return None
    weights = np.array([step.weight for step in steps])
    lengths = np.array([step.for_ / timedelta(seconds=1) for step in steps])
    begins = np.concatenate([[0.0], np.cumsum(lengths)])[: len(steps)]
    seconds = look / timedelta(seconds=1)
    # Once the window lies wholly within the step, every request in it is one of the fast burn.
    at = begins[-1] + seconds * np.arange(1, int(np.ceil(window / look)) + 1)
    since = np.maximum(at - window / timedelta(seconds=1), 0.0)

    def requests(until: Array) -> Array:
        inside = np.clip(until[:, None] - begins, 0.0, np.append(lengths[:-1], np.inf))
        result: Array = inside @ weights
        return result

    total = requests(at) - requests(since)
    bad = requests(at) - requests(np.maximum(since, begins[-1]))
    looks = int(np.flatnonzero(times * bad >= rate * total * (1.0 - _HAIR))[0]) + 1
    return looks * look
