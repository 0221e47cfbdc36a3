"""Kinds ``value`` and ``threshold``: levels of instances, or of the series a query adds up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import fsum, sqrt
from statistics import fmean, stdev

from coalmine.diagnosis.ranking import Found, keep, ranked, sentence_of
from coalmine.records import Contribution, LabelBreakdown, LabelRanking, MetricBreakdown
from coalmine.spec.metrics import Metric

_OPERATOR = re.compile(r"\s*(sum|max|min|avg)\b", re.IGNORECASE)


def rank_levels(metric: Metric, breakdown: MetricBreakdown, *, compare: bool) -> Found:
    """Every label, by how far its series stand beyond the baseline's; without a baseline beyond the limit, else zero.

    A limit of a sum is shared out evenly among its series; of a ``max`` or ``min`` only series beyond it count.

    Whether a value's series are beyond chance is asked by Student's t for a mean against the baseline's instances (two
    of them at least), times the number of values. Series of a threshold are held against a limit, not against a pool
    that could tell what is chance: there the share alone says what stands out.

    Args:
        metric: Its ``direction`` or limits say which way is worse.
        breakdown: Levels by label.
        compare: Both arms ran, and the kind compares them.
    """
    compare = compare and metric.kind == "value"
    rankings = [ranking for label in breakdown.labels if (ranking := _label(metric, label, compare)) is not None]
    return Found(keep(rankings), f"{metric.name}: {sentence_of(rankings)}")


def _label(metric: Metric, label: LabelBreakdown, compare: bool) -> LabelRanking | None:
    rows = [(one.value, one.canary.values or [], one.baseline.values or []) for one in label.values]
    pool = [level for _, _, baseline in rows for level in baseline]
    rows = [row for row in rows if row[1]]
    instances = sum(len(canary) for _, canary, _ in rows)
    if len(rows) < 2 or (compare and not pool):
        return None
    sign, limit = _worse(metric, instances)
    clipped = not compare and _operator(metric) in ("max", "min")
    values: list[Contribution] = []
    for value, canary, baseline in rows:
        against = (baseline or pool) if compare else [limit]
        chance = _beyond(canary, against, sign) if compare else None
        apart = [sign * (level - fmean(against)) for level in canary]
        excess = fsum(max(one, 0.0) for one in apart) if clipped else fsum(apart)
        values.append(
            Contribution(
                value=value,
                share=0.0,
                excess=float(f"{excess:.6g}"),
                canary_total=len(canary),
                baseline_total=len(baseline),
                canary_level=float(f"{fmean(canary):.6g}"),
                baseline_level=float(f"{fmean(against):.6g}") if compare else None,
                traffic=round(len(canary) / instances, 4),
                chance=min(1.0, chance * len(rows)) if chance is not None else 1.0,
                p=chance,
            )
        )
    return ranked(metric.name, label, values)


def _operator(metric: Metric) -> str:
    """What a threshold's query makes one number by; empty when it is not told by the first word."""
    found = _OPERATOR.match(metric.query or "")
    return found[1].lower() if found else ""


def _worse(metric: Metric, series: int) -> tuple[int, float]:
    """1 where more is worse, -1 where less is; and the level of one series from which on it is."""
    limits = metric.limits
    parts = series if _operator(metric) == "sum" else 1
    if limits is not None and limits.max is not None:
        return 1, limits.max / parts
    if limits is not None and limits.min is not None:
        return -1, limits.min / parts
    return (-1 if metric.direction == "down" else 1), 0.0


def _beyond(canary: Sequence[float], baseline: Sequence[float], sign: int) -> float:
    """P(a mean so far on the worse side of the baseline's), if both were of one normal pool."""
    if len(baseline) < 2:
        return 1.0
    apart = sign * (fmean(canary) - fmean(baseline))
    spread = stdev(baseline) * sqrt(1 / len(canary) + 1 / len(baseline))
    if spread <= 0:
        return 0.0 if apart > 0 else 1.0
    # Loaded where it is called: half a second, which whoever only reads what was found need not wait.
    from scipy.special import stdtr

    return float(stdtr(len(baseline) - 1, -apart / spread))
