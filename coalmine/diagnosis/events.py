"""Kind ``count``: events without requests. What the traffic's share of them would have been is what is compared."""

from __future__ import annotations

from coalmine.diagnosis.ranking import Found, keep, ranked, sentence_of, two_rates
from coalmine.records import Contribution, LabelBreakdown, LabelRanking, MetricBreakdown
from coalmine.spec.metrics import Metric


def rank_events(metric: Metric, breakdown: MetricBreakdown, share: float | None, *, compare: bool) -> Found:
    """Every label, by events beyond (or, where less is worse, short of) what the canary's traffic accounts for.

    Args:
        metric: Its ``direction`` says which way is worse.
        breakdown: Events by label; no requests.
        share: The canary's part of the traffic; None = as of all events, so that only what is spread otherwise shows.
        compare: Both arms ran; else nothing is expected, and nothing is beyond chance.
    """
    rankings = [ranking for label in breakdown.labels if (ranking := _label(metric, label, share, compare)) is not None]
    return Found(keep(rankings), f"{metric.name}: {sentence_of(rankings)}")


def _label(metric: Metric, label: LabelBreakdown, share: float | None, compare: bool) -> LabelRanking | None:
    counted = [(one.value, one.canary.events or 0, one.baseline.events or 0) for one in label.values]
    counted = [row for row in counted if row[1] or row[2]]
    canary, baseline = sum(row[1] for row in counted), sum(row[2] for row in counted)
    part = share if share is not None and 0.0 < share < 1.0 else (canary + 0.5) / (canary + baseline + 1.0)
    # Instances belong to one arm: each of the canary's is then held against its part of the whole baseline.
    own = compare and not any(row[1] and row[2] for row in counted)
    if own:
        counted = [row for row in counted if row[1]]
        if len(counted) < 2:
            return None
    if not counted or not canary:
        return None
    values: list[Contribution] = []
    for value, events, others in counted:
        exposed, against = (part / len(counted), baseline) if own else (part, others)
        if not compare:
            expected, chance = 0.0, 1.0
        else:
            expected = against * exposed / (1.0 - part)
            arms = ((events, exposed), (against, 1.0 - part))
            more, less = arms if metric.direction == "up" else reversed(arms)
            chance = two_rates(*more, *less)
        excess = expected - events if compare and metric.direction == "down" else events - expected
        values.append(
            Contribution(
                value=value,
                share=0.0,
                excess=round(excess, 4),
                canary_events=events,
                baseline_events=others,
                traffic=round(1.0 / len(counted), 4) if own else None,
                chance=min(1.0, chance * len(counted)),
                p=chance,
            )
        )
    return ranked(metric.name, label, values, of_events=True)
