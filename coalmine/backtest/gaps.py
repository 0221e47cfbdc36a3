"""What a past period lacks: in how many looks a metric has gaps, and why there is the first of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce

from coalmine.analysis.latency import common_bounds
from coalmine.records import MetricCounts, stamped

Look = Mapping[str, Sequence[MetricCounts]]
"""By value of the label a version is split by; by ``""`` what is not split."""


def gaps(at: Sequence[datetime], looks: Sequence[Look], label: str = "") -> list[str]:
    """A sentence for each metric with gaps, in order of name.

    Args:
        at: when each look ended.
        looks: what was read.
        label: what the live version was split by.
    """
    found: dict[str, list[tuple[datetime, str]]] = {}
    for moment, look in zip(at, looks, strict=True):
        for metric, why in _of(look, label).items():
            found.setdefault(metric, []).append((moment, why))
    return [
        f"{metric}: {len(those)} of {len(looks)} looks lack data, first that to {stamped(those[0][0])}: {those[0][1]}"
        for metric, those in sorted(found.items())
    ]


def _of(look: Look, label: str) -> dict[str, str]:
    told: dict[str, str] = {}
    bounds: dict[str, dict[str, Sequence[float]]] = {}
    for value, counts in look.items():
        name = f"{label}={value}: " if label else ""
        for one in counts:
            if one.status == "no_data":
                told.setdefault(one.metric, f"{name}{one.reason}")
            elif one.bounds is not None:
                bounds.setdefault(one.metric, {})[value] = one.bounds
    for metric, each in bounds.items():
        if not reduce(common_bounds, each.values()):
            told.setdefault(
                metric, f"{label}={_odd(each)} shares no bucket bound with the others: use the same for all"
            )
    return told


def _odd(bounds: Mapping[str, Sequence[float]]) -> str:
    """The value that can be compared with the fewest others."""
    return min(bounds, key=lambda value: sum(bool(common_bounds(bounds[value], one)) for one in bounds.values()))
