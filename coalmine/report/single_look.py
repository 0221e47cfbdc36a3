"""What a test would have said of a rollout had it looked once: at the end of a step, or at the end of it all.

Counts come from the looks of the ledger, the statistics from ``coalmine.fixed_sample``. It stands beside the judge's
own interval, which holds at every look together and is therefore wider.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from coalmine import fixed_sample
from coalmine.fixed_sample import Table
from coalmine.records import LedgerEntry, MetricCounts, Record, moment_of
from coalmine.spec.durations import parse_duration

KINDS = ("ratio", "latency", "count")
"""Kinds that count events; of others a look says nothing that a test of counts could read."""
_LARGEST = 2**53
"""Beyond it counts are no longer exact in a double."""
_COUNTS = TypeAdapter(list[MetricCounts])


class SingleLook(Record):
    """All looks of a metric until the end of one step, read once. ``effect`` and interval as the metric's own."""

    step: int
    """From 1; 0 where the ledger does not say."""
    look: int
    """The last one that is counted."""
    canary_events: int
    canary_total: int | None = None
    """Requests; None where events have none."""
    baseline_events: int
    baseline_total: int | None = None
    slower_than: float | None = None
    """latency: seconds; the events are the requests beyond this bound."""
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    """Two-sided p-value of no difference; of the last step only, because a test may be read once."""
    adjusted: float | None = None
    """The same, adjusted for the number of metrics (Holm)."""


@dataclass
class _Step:
    """One metric in one step: what each look counted."""

    number: int
    look: int = 0
    looks: list[MetricCounts] = field(default_factory=list)
    exposures: list[tuple[float, float]] = field(default_factory=list)
    """Seconds times share of the traffic, canary first."""


def single_looks(
    ordered: Sequence[LedgerEntry], metrics: Sequence[Mapping[str, Any]], alpha: float
) -> dict[str, list[SingleLook]]:
    """By metric; those without a count are left out.

    Args:
        ordered: all entries of one rollout, by sequence.
        metrics: as the spec wrote them.
        alpha: of the two-sided intervals.

    Raises:
        MissingExtra: statsmodels is not installed.
    """
    wanted = {str(metric.get("name")): metric for metric in metrics if metric.get("kind") in KINDS}
    counted = _steps(ordered, wanted)
    found = {name: rows for name, steps in counted.items() if (rows := _rows(wanted[name], steps, alpha))}
    last = {name: rows[-1] for name, rows in found.items() if rows[-1].chance is not None}
    adjusted = fixed_sample.holm([row.chance for row in last.values() if row.chance is not None])
    for (name, row), chance in zip(last.items(), adjusted, strict=True):
        found[name][-1] = row.model_copy(update={"adjusted": chance})
    return found


def _steps(ordered: Sequence[LedgerEntry], wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, list[_Step]]:
    steps: dict[str, list[_Step]] = {}
    moved: datetime | None = None
    for entry in ordered:
        if entry.kind == "shifted":
            moved = entry.at
        if entry.kind != "look" or entry.data.get("stage", "compare") != "compare":
            continue
        number = _whole(entry.data.get("step"), -1) + 1
        for counts in _read(entry):
            if counts.metric not in wanted or counts.status != "ok" or not _sound(counts):
                continue
            exposure = _exposure(entry, counts, moved)
            if wanted[counts.metric]["kind"] == "count" and exposure is None:
                continue
            mine = steps.setdefault(counts.metric, [])
            if not mine or mine[-1].number != number:
                mine.append(_Step(number))
            mine[-1].look = _whole(entry.data.get("look"), 0)
            mine[-1].looks.append(counts)
            mine[-1].exposures.append(exposure or (0.0, 0.0))
    return steps


def _sound(counts: MetricCounts) -> bool:
    """Both arms are there, and no number is below zero, or more than a float counts one by one."""
    arms = [arm for arm in (counts.canary, counts.baseline) if arm is not None]
    numbers = [number for arm in arms for number in (arm.total, arm.events or 0, *(arm.buckets or ()))]
    return len(arms) == 2 and min(numbers) >= 0 and max(numbers) <= _LARGEST


def _rows(metric: Mapping[str, Any], steps: Sequence[_Step], alpha: float) -> list[SingleLook]:
    slower_than, tables = _tables(metric, steps)
    rows: list[SingleLook] = []
    for number in range(1, len(tables) + 1):
        so_far, step = tables[:number], steps[number - 1]
        estimate = fixed_sample.odds_ratio(so_far, alpha)
        requests = metric["kind"] != "count"
        rows.append(
            SingleLook(
                step=step.number,
                look=step.look,
                canary_events=sum(table.canary_events for table in so_far),
                canary_total=sum(table.canary_total for table in so_far) if requests else None,
                baseline_events=sum(table.baseline_events for table in so_far),
                baseline_total=sum(table.baseline_total for table in so_far) if requests else None,
                slower_than=slower_than,
                effect=estimate.effect,
                low=estimate.low,
                high=estimate.high,
                chance=estimate.chance if number == len(tables) else None,
            )
        )
    return rows


def _tables(metric: Mapping[str, Any], steps: Sequence[_Step]) -> tuple[float | None, list[Table]]:
    """One table a step, and the bound of a latency."""
    if metric["kind"] == "latency":
        return _latency_tables(metric, steps)
    if metric["kind"] == "ratio":
        return None, [Table(*_summed(list(_ratio(step)))) for step in steps]
    tables = []
    for step in steps:
        (canary, baseline) = (sum(part) for part in zip(*step.exposures, strict=True))
        events = _summed(list(_ratio(step)))
        tables.append(Table.of_rates(events[0], canary, events[2], baseline))
    return None, tables


def _ratio(step: _Step) -> Iterator[tuple[int, int, int, int]]:
    for counts in step.looks:
        if counts.canary is not None and counts.baseline is not None:
            arms = (counts.canary, counts.baseline)
            # Two counters scraped an instant apart: events may run ahead of requests, and were clipped then too.
            (x_c, n_c), (x_b, n_b) = ((arm.events or 0, arm.total) for arm in arms)
            yield (min(x_c, n_c) if n_c else x_c), n_c, (min(x_b, n_b) if n_b else x_b), n_b


def _latency_tables(metric: Mapping[str, Any], steps: Sequence[_Step]) -> tuple[float | None, list[Table]]:
    """At the objective's bound, else at the one next to p97 of both arms over all steps."""
    looks = [counts for step in steps for counts in step.looks if counts.bounds]
    if not looks:
        return None, []
    # Loaded where it is called: the judge takes half a second, which the summary of a rollout in CI need not wait.
    import numpy as np

    from coalmine.analysis.latency import above, choose_bounds, common_bounds, objective_bound

    bounds: tuple[float, ...] = tuple(looks[0].bounds or ())
    for counts in looks:
        bounds = common_bounds(bounds, counts.bounds or ())
    if not bounds:
        return None, []
    merged = [np.array([_merged(counts, bounds) for counts in step.looks if counts.bounds]) for step in steps]
    whole = np.array([looks.sum(axis=0) if len(looks) else np.zeros((2, len(bounds) + 1)) for looks in merged])
    objective = metric.get("objective")
    if isinstance(objective, Mapping):
        bound = objective_bound(bounds, parse_duration(objective.get("under")).total_seconds())
    else:
        bound = int(choose_bounds(whole.sum(axis=(0, 1)), None)[0])
    if bound < 0:
        return None, []
    over, totals = above(whole)[..., bound], whole.sum(axis=-1)
    tables = [
        Table(int(x_c), int(n_c), int(x_b), int(n_b))
        for (x_c, x_b), (n_c, n_b) in zip(over.tolist(), totals.tolist(), strict=True)
    ]
    return float(bounds[bound]), tables


def _merged(counts: MetricCounts, bounds: Sequence[float]) -> list[Any]:
    import numpy as np

    from coalmine.analysis.latency import merge_buckets

    empty = [0] * (len(counts.bounds or ()) + 1)
    arms = (counts.canary, counts.baseline)
    return [merge_buckets(np.array((arm and arm.buckets) or empty), counts.bounds or (), bounds) for arm in arms]


def _summed(rows: Sequence[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    x_c, n_c, x_b, n_b = (sum(column) for column in zip(*rows, strict=True))
    return x_c, n_c, x_b, n_b


def _exposure(entry: LedgerEntry, counts: MetricCounts, moved: datetime | None) -> tuple[float, float] | None:
    """Seconds times share of both arms; None where the share is not known, because it changed within the window."""
    try:
        share = float(entry.data["weight"]) / 100.0
        since, until = (moment_of(entry.data[key]) for key in ("from", "to"))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    # Samples lag by as much as the window ends before the look.
    if not 0.0 < share < 1.0 or until <= since or (moved is not None and since - (entry.at - until) < moved):
        return None
    seconds = counts.seconds if counts.seconds is not None else (until - since).total_seconds()
    return seconds * share, seconds * (1.0 - share)


def _read(entry: LedgerEntry) -> list[MetricCounts]:
    try:
        return _COUNTS.validate_python(entry.data.get("counts") or [])
    except ValidationError:
        return []


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
