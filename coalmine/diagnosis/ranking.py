"""Kinds ``ratio``, ``latency`` and ``slo``: counts by label, ranked by their share of the excess.

The excess of a value is the canary's events less those that the baseline's level would have brought to the same
requests. Where a label tells events apart (a status code), a value's own requests are its events, so the arms' whole
traffic is what is compared. Whether a value's events are more than chance is asked by the exact conditional test of two
Poisson rates (Przyborowski, Wilenski, Biometrika 1940), times the number of values (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coalmine.records import ArmCounts, Contribution, LabelBreakdown, LabelRanking, MetricBreakdown
from coalmine.spec.metrics import Metric

VALUES_SHOWN = 8
LABELS_SHOWN = 6
MOST_OF_IT = 0.5
"""A value that stands out carries at least this share of the excess,"""
BEYOND_TRAFFIC = 0.2
"""and this much more than its share of the traffic,"""
BY_CHANCE = 0.01
"""and would do so by chance less often than this."""
SLOW = 0.95
"""Without an objective, slow is what is beyond the bound that this share of the baseline is under."""


@dataclass(frozen=True)
class Found:
    """Rankings of one metric, the most telling label first, and one sentence about them."""

    rankings: list[LabelRanking]
    sentence: str


@dataclass(frozen=True)
class _Cell:
    """Events and requests of both arms under one value."""

    value: str
    events: int
    total: int
    baseline_events: int
    baseline_total: int


def rank_shares(metric: Metric, breakdown: MetricBreakdown, *, compare: bool) -> Found:
    """Rank every label of one metric.

    Args:
        metric: Its objective or ``max`` says what is slow, and what is too much where there is no baseline.
        breakdown: Counts by label, as a source gives them.
        compare: Both arms ran; else the limit stands in for the baseline.
    """
    cut = _slow_bound(metric, breakdown)
    rankings = [ranking for label in breakdown.labels if (ranking := _label(metric, label, cut, compare)) is not None]
    what = f"{metric.name}: " if cut is None else f"{metric.name} (slower than {_time(breakdown, cut)}): "
    return Found(keep(rankings), what + sentence_of(rankings))


def keep(rankings: list[LabelRanking]) -> list[LabelRanking]:
    """The most telling labels, that one first; ``rankings`` is put in this order."""
    rankings.sort(key=_telling, reverse=True)
    return rankings[:LABELS_SHOWN]


def ranked(
    metric: str, label: LabelBreakdown, values: Sequence[Contribution], *, of_events: bool = False
) -> LabelRanking | None:
    """The values of a label by their share of all excess; None where nothing is in excess.

    Args:
        metric: Its name.
        label: What was broken down.
        values: With their excess; the share is worked out here.
        of_events: The label tells events apart.
    """
    excess = sum(max(value.excess, 0.0) for value in values)
    if excess <= 0:
        return None
    found = [value.model_copy(update={"share": round(max(value.excess, 0.0) / excess, 4)}) for value in values]
    found.sort(key=lambda value: (-value.excess, value.value))
    return LabelRanking(
        metric=metric,
        label=label.label,
        of_events=of_events,
        stands_out=_stands_out(found[0]),
        values=found[:VALUES_SHOWN],
        folded=label.folded + max(0, len(found) - VALUES_SHOWN),
    )


def _label(metric: Metric, label: LabelBreakdown, cut: int | None, compare: bool) -> LabelRanking | None:
    """One label ranked; None where it says nothing: a single value of traffic, or no event at all."""
    cells = [
        _Cell(one.value, _events(one.canary, cut), one.canary.total, _events(one.baseline, cut), one.baseline.total)
        for one in label.values
    ]
    if label.of_events:
        cells = [cell for cell in cells if cell.events or cell.baseline_events]
    elif len([cell for cell in cells if cell.total]) < 2:
        return None
    if not any(cell.events for cell in cells):
        return None
    whole = _Cell(
        "",
        sum(cell.events for cell in cells),
        label.canary_total or sum(one.canary.total for one in label.values),
        sum(cell.baseline_events for cell in cells),
        label.baseline_total or sum(one.baseline.total for one in label.values),
    )
    limit = None if compare else _limit(metric)
    tried = len(cells)
    values = [_contribution(cell, whole, label.of_events, compare, limit, tried) for cell in cells]
    return ranked(metric.name, label, values, of_events=label.of_events)


def _contribution(
    cell: _Cell, whole: _Cell, of_events: bool, compare: bool, limit: float | None, tried: int
) -> Contribution:
    if not compare:
        expected = 0.0 if limit is None else limit * (whole.total if of_events else cell.total)
        exposed = whole.total if of_events else cell.total
        chance = 1.0 if limit is None else _beyond(cell.events, exposed, limit)
    elif of_events:
        expected = cell.baseline_events * whole.total / whole.baseline_total if whole.baseline_total else 0.0
        chance = two_rates(cell.events, whole.total, cell.baseline_events, whole.baseline_total)
    else:
        expected = cell.total * _baseline_rate(cell, whole)
        # What only the canary has (its own instances) is compared with the whole baseline.
        own = cell if cell.baseline_total else whole
        chance = two_rates(cell.events, cell.total, own.baseline_events, own.baseline_total)
    return Contribution(
        value=cell.value,
        share=0.0,
        excess=round(cell.events - expected, 4),
        canary_events=cell.events,
        canary_total=cell.total,
        baseline_events=cell.baseline_events,
        baseline_total=cell.baseline_total,
        traffic=None if of_events or not whole.total else round(cell.total / whole.total, 4),
        chance=min(1.0, chance * tried),
        p=chance,
    )


def _baseline_rate(cell: _Cell, whole: _Cell) -> float:
    """The baseline's rate under a value, drawn to its overall rate with the weight of one event."""
    if not whole.baseline_total or not whole.baseline_events:
        return 0.0
    overall = whole.baseline_events / whole.baseline_total
    weight = 1 / overall
    return (cell.baseline_events + weight * overall) / (cell.baseline_total + weight)


def two_rates(events: int, exposed: float, baseline_events: int, baseline_exposed: float) -> float:
    """P(at least so many of all events fall on the first arm), if the rates per exposure were equal."""
    if not events:
        return 1.0
    if not exposed or not baseline_exposed:
        return 1.0
    return _beyond(events, events + baseline_events, exposed / (exposed + baseline_exposed))


def _beyond(events: int, trials: int, probability: float) -> float:
    """P(X >= events) for a binomial X; the regularised incomplete beta function says it exactly."""
    if events <= 0 or probability >= 1:
        return 1.0
    if events > trials:
        return 0.0
    # Loaded where it is called: half a second, which whoever only reads what was found need not wait.
    from scipy.special import betainc

    return float(betainc(events, trials - events + 1, probability))


def _stands_out(top: Contribution) -> bool:
    beyond = top.traffic is None or top.share - top.traffic >= BEYOND_TRAFFIC
    return top.share >= MOST_OF_IT and beyond and (top.p is None or top.chance < BY_CHANCE)


def _telling(ranking: LabelRanking) -> tuple[bool, float]:
    """How much a label says: its first value's share of the excess beyond its share of the traffic."""
    top = ranking.values[0]
    return ranking.stands_out, top.share - (top.traffic if top.traffic is not None else MOST_OF_IT)


def sentence_of(rankings: Sequence[LabelRanking]) -> str:
    """What stands out, or that nothing does."""
    telling = [ranking for ranking in rankings if ranking.stands_out]
    if telling:
        return "; ".join(_clause(ranking) for ranking in telling[:3])
    if rankings:
        return f"spread out, no value of {', '.join(ranking.label for ranking in rankings)} stands out"
    return "no label tells more"


def _clause(ranking: LabelRanking) -> str:
    top = ranking.values[0]
    share = f"{100 * top.share:.0f} %"
    value = f"{ranking.label} {top.value or '(none)'}"
    if top.traffic is None:
        return f"{share} of the excess is {value}"
    of = "instances" if top.canary_level is not None else "traffic"
    return f"{value} carries {share} of the excess with {100 * top.traffic:.0f} % of the {of}"


def _events(counts: ArmCounts, cut: int | None) -> int:
    if cut is None:
        return counts.events or 0
    return sum((counts.buckets or [])[cut + 1 :])


def _slow_bound(metric: Metric, breakdown: MetricBreakdown) -> int | None:
    """latency: index of the bound that slow requests are beyond; None for other kinds."""
    bounds = breakdown.bounds
    if not bounds:
        return None
    if metric.objective is not None:
        under = metric.objective.under.total_seconds()
        return max((index for index, bound in enumerate(bounds) if bound <= under * (1 + 1e-9)), default=0)
    largest = max(breakdown.labels, key=lambda label: sum(one.baseline.total for one in label.values), default=None)
    arms = [one.baseline if one.baseline.total else one.canary for one in largest.values] if largest else []
    total, below = sum(arm.total for arm in arms), 0
    for index in range(len(bounds)):
        below += sum((arm.buckets or [0] * len(bounds))[index] for arm in arms)
        if below >= SLOW * total:
            return index
    return len(bounds) - 1


def _limit(metric: Metric) -> float | None:
    if metric.slo is not None:
        return 1 - metric.slo.objective
    return metric.max if metric.max is not None else 1 - metric.objective.share if metric.objective else None


def _time(breakdown: MetricBreakdown, cut: int) -> str:
    seconds = (breakdown.bounds or [0.0])[cut]
    return f"{1000 * seconds:.4g} ms" if seconds < 1 else f"{seconds:.4g} s"
