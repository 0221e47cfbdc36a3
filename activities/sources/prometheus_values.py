"""Gauges of one arm in one window: one mean for every instance, from raw samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from activities.sources.each_arm import NoCounts
from activities.sources.increments import Sample
from activities.sources.prometheus_arms import (
    milliseconds,
    milliseconds_in,
    part_selectors,
    refuse_partial,
    refuse_stale,
)
from activities.sources.prometheus_groups import show
from activities.sources.prometheus_http import PrometheusHttp
from activities.sources.prometheus_marks import read_samples
from activities.sources.prometheus_series import Labels
from coalmine.errors import QueryRejected
from coalmine.records import Window
from coalmine.spec.canary import Arm
from coalmine.spec.metrics import Metric

MOST_INSTANCES = 100
"""More instances travel as their mean alone: a look's record stays small, and the judge uses no more than it."""


@dataclass(frozen=True)
class ArmValues:
    """One number for every instance of an arm, in the order of their labels."""

    values: list[float]
    queries: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Instances:
    """The mean of every series that has a number in the window, in the order of their labels."""

    means: list[tuple[Labels, float]]
    queries: list[str]
    warnings: list[str] = field(default_factory=list)


async def read_values(http: PrometheusHttp, metric: Metric, arm: Arm, name: str, window: Window) -> ArmValues:
    """Read one arm's gauges. Every series is an instance; its value is the mean of its samples in the window.

    Raises:
        NoCounts: the store has no values for it; the message is the reason.
        SourceUnreachable: the store did not answer in time.
        QueryRejected: the query cannot be used.
    """
    found = await read_instances(http, metric, arm, name, window)
    values, warnings = [mean for _, mean in found.means], found.warnings
    if len(values) > MOST_INSTANCES:
        warnings = [*warnings, f"the mean of {len(values)} instances is kept, not each"]
        # Not the sum first: of the largest numbers there are there is none.
        values = [math.fsum(value / len(values) for value in values)]
    return ArmValues(values, found.queries, warnings)


async def read_instances(http: PrometheusHttp, metric: Metric, arm: Arm, name: str, window: Window) -> Instances:
    """The same with the labels of each series, however many there are.

    Raises:
        As ``read_values``.
    """
    scrape = milliseconds_in(http.source.scrape)
    start, end = milliseconds(window.start), milliseconds(window.end)
    selectors, _ = part_selectors(metric, "values", arm)
    read = await read_samples(http, selectors, start, end, scrape)
    refuse_partial(read.warnings)
    means: list[tuple[Labels, float]] = []
    warnings: list[str] = []
    newest = -1
    for labels, samples in sorted(read.series.items()):
        if any(label == "le" for label, _ in labels):
            raise QueryRejected(f"{show(labels)} is a histogram bucket, no gauge: use kind: latency for it")
        mean, last = _mean(samples, start)
        newest = max(newest, last)
        if last < 0:
            continue
        if math.isfinite(mean):
            means.append((labels, mean))
        else:
            warnings.append(f"{show(labels)} has no number in the window and is left out")
    if not means:
        asked = ", ".join(map(str, selectors))
        if warnings:
            raise NoCounts(f"NaN: no instance of the {name} has a number for {asked}")
        raise NoCounts(f"empty: the {name} has no sample in the window for {asked}")
    refuse_stale(newest, end, scrape, milliseconds_in(http.source.flush))
    queries = [f"{selector}[{end - start}ms] @ {end / 1000:.3f}" for selector in selectors]
    return Instances(means, queries, warnings)


def _mean(samples: Sequence[Sample], start: int) -> tuple[float, int]:
    """Mean of the numbers after ``start`` (nan without any), and when the last sample was (-1: none)."""
    inside = [(at, float(value)) for at, value in samples if at > start]
    numbers = [value for _, value in inside if math.isfinite(value)]
    mean = sum(numbers) / len(numbers) if numbers else math.nan
    return mean, inside[-1][0] if inside else -1
