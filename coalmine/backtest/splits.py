"""Releases that never were: the live version split by a label, each value in turn as the canary of the others (A/A)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from scipy.special import betaincinv

from coalmine.analysis.latency import common_bounds, merge_buckets
from coalmine.backtest.gaps import Look
from coalmine.backtest.past import observation_of
from coalmine.backtest.trace import Trace, TraceReader
from coalmine.records import ArmCounts, BurnCounts, MetricCounts, stamped
from coalmine.records.beyond import within
from coalmine.spec.metrics import Metric


def observations(look: Look, canary: Sequence[str], metrics: Sequence[Metric]) -> dict[str, Any]:
    """One look with the values ``canary`` against all the others, as a line of a trace holds it.

    Args:
        look: what each part of the live version counted, as counts of the canary.
        canary: values of the label.
        metrics: what is judged.
    """
    told: dict[str, Any] = {}
    for metric in metrics:
        parts = {
            "canary": [_of(look, value, metric.name) for value in look if value in canary],
            "baseline": [_of(look, value, metric.name) for value in look if value not in canary],
        }
        arms = {name: _summed(metric.name, those) for name, those in parts.items()}
        if not _comparable(arms["canary"], arms["baseline"]):
            # What a rollout would say of such versions: neither has data.
            arms = dict.fromkeys(arms)
        told[metric.name] = {name: _arm(counts, metric.kind) for name, counts in arms.items()}
    return told


def lines(
    at: Sequence[datetime], looks: Sequence[Look], canary: Sequence[str], metrics: Sequence[Metric]
) -> list[dict[str, Any]]:
    """The looks of a trace; the weight is not known: nobody configured one."""
    return [
        {"at": moment.isoformat(), "weight": None, "observations": observations(look, canary, metrics)}
        for moment, look in zip(at, looks, strict=True)
    ]


def split_traces(
    label: str, at: Sequence[datetime], looks: Sequence[Look], metrics: Sequence[Metric], length: int
) -> list[Trace]:
    """Every value of the label as a canary, in stretches of ``length`` looks; a shorter rest is left out.

    Args:
        label: what the live version was split by.
        at: when each look ended.
        looks: what each value counted.
        metrics: what is judged.
        length: looks of one release.
    """
    traces = []
    for start in range(0, len(looks) - length + 1, length):
        stretch = slice(start, start + length)
        for value in looks[start]:
            name = f"{label}={value} {stamped(at[start])}"
            reader = TraceReader(name, metrics)
            for moment, line in zip(at[stretch], lines(at[stretch], looks[stretch], [value], metrics), strict=True):
                reader.add(line, f"{label}={value}, look to {stamped(moment)}")
            traces.append(reader.finished())
    return traces


def upper_limit(events: int, runs: int) -> float:
    """Upper end of the one-sided 95 % Clopper-Pearson interval of a share; the runs are taken as independent."""
    return 1.0 if events >= runs else float(betaincinv(events + 1, runs - events, 0.95))


def _of(look: Look, value: str, metric: str) -> MetricCounts | None:
    found = next((counts for counts in look[value] if counts.metric == metric), None)
    return None if found is None or found.status == "no_data" or found.canary is None else found


def _summed(metric: str, parts: Sequence[MetricCounts | None]) -> MetricCounts | None:
    """The parts that have data, added up; None when none has."""
    there = [(part, part.canary) for part in parts if part is not None and part.canary is not None]
    if not there:
        return None
    if there[0][0].bounds is None:
        return MetricCounts(metric=metric, canary=_together([arm for _, arm in there]), seconds=there[0][0].seconds)
    bounds: tuple[float, ...] = tuple(there[0][0].bounds)
    for part, _ in there:
        bounds = common_bounds(bounds, part.bounds or ())
    if not bounds:
        return None
    merged = sum(merge_buckets(np.array(arm.buckets), part.bounds or (), bounds) for part, arm in there)
    buckets = [int(count) for count in np.asarray(merged)]
    return MetricCounts(metric=metric, bounds=list(bounds), canary=ArmCounts(total=sum(buckets), buckets=buckets))


def _together(arms: Sequence[ArmCounts]) -> ArmCounts:
    """Counts added up, and the values of all instances."""
    lengths = {window.seconds for arm in arms for window in arm.burn or ()}
    burn = [
        BurnCounts(
            seconds=length,
            total=sum(window.total for arm in arms for window in arm.burn or () if window.seconds == length),
            events=sum(window.events for arm in arms for window in arm.burn or () if window.seconds == length),
        )
        for length in sorted(lengths)
    ]
    return ArmCounts(
        total=sum(arm.total for arm in arms),
        events=sum(arm.events or 0 for arm in arms),
        values=[value for arm in arms for value in arm.values or ()] if arms[0].values is not None else None,
        burn=burn or None,
    )


def _comparable(canary: MetricCounts | None, baseline: MetricCounts | None) -> bool:
    """Whether histograms of both have a bound in common; what is no histogram needs none."""
    bounds = [one.bounds for one in (canary, baseline) if one is not None and one.bounds is not None]
    return len(bounds) < 2 or bool(common_bounds(*bounds))


def _arm(counts: MetricCounts | None, kind: str) -> dict[str, Any] | None:
    # Each part was within what can be counted; their sum need not be.
    told = None if counts is None else observation_of(within(counts), kind)
    return None if told is None else told["canary"]
