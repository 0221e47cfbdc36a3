"""Which windows of a trace there is something to judge in, metric by metric: as the judge finds look by look.

Nothing here depends on the evidence, so a whole trace is gone through before it is judged with others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from coalmine.analysis.grids import Array, Mask
from coalmine.analysis.latency import common_bounds, merge_buckets
from coalmine.analysis.starvation import Due, silence
from coalmine.analysis.windows import Arm, MetricWindow
from coalmine.backtest.columns import ARMS, Column, CountedColumn, LatencyColumn, RatioColumn
from coalmine.backtest.windowed import WindowedColumn
from coalmine.spec.metric_rules import COUNTS_REQUESTS

Bounds = tuple[float, ...]


@dataclass(frozen=True)
class Intake:
    """One metric of one trace, ready to be folded."""

    present: Mask
    """[T]"""
    missing: dict[int, str]
    """Why, by look, where it is not."""
    totals: Array
    """Requests of canary and baseline, [2, T]."""
    values: tuple[Array, ...]
    """ratio: events [2, T]. latency: buckets [2, n, B] of each stage. Other kinds: none."""
    stages: tuple[tuple[int, Bounds], ...] = ()
    """latency: from which look on the evidence has which bounds, rising; each stage's are among the one's before."""
    windows: Sequence[MetricWindow] = ()
    """Kinds other than ratio and latency, [T]."""


def take_in(column: Column, shares: Array) -> Intake:
    """Go through one metric of a trace.

    Args:
        column: its observations.
        shares: the canary's share of the traffic, 0-1, [T]; nan where it is not known.
    """
    if isinstance(column, WindowedColumn):
        return _windowed(column, shares)
    assert isinstance(column, CountedColumn)
    totals, has = column.totals, column.has
    walk = _Walk(column)
    if has.all() and (totals > 0).all() and walk.steady:
        present, missing = np.ones(totals.shape[1], bool), dict[int, str]()
    else:
        present, missing = _walk(walk, totals, has, shares)
    if isinstance(column, RatioColumn):
        return Intake(present, missing, totals, (column.events,))
    assert isinstance(column, LatencyColumn)
    stages = tuple(walk.stages)
    return Intake(present, missing, totals, _on_stages(column, stages, present), stages)


class _Walk:
    """The bounds the evidence has while a trace is gone through."""

    def __init__(self, column: CountedColumn) -> None:
        self.column = column
        pieces = column.pieces[1:] if isinstance(column, LatencyColumn) else []
        self.steady = not isinstance(column, LatencyColumn) or (len(pieces) == 1 and pieces[0].start == 0)
        first: Bounds = pieces[0].bounds if pieces and self.steady else ()
        self.stages: list[tuple[int, Bounds]] = [(0, first)] if isinstance(column, LatencyColumn) else []

    def unfit(self, look: int) -> str:
        """Take on the bounds of a look; why it cannot be compared with those before, empty when it can."""
        if not self.stages or self.stages[-1][1] == (bounds := self.column.bounds(look)):
            return ""
        before = self.stages[-1][1]
        common = common_bounds(before, bounds) if before else bounds
        if not common:
            listed = ", ".join(f"{bound:g}" for bound in before)
            return f"the histogram's bounds changed and share none with those before ({listed})"
        if common != before:
            if self.stages[-1][0] == look:
                self.stages.pop()
            self.stages.append((look, common))
        return ""


def _walk(walk: _Walk, totals: Array, has: Mask, shares: Array) -> tuple[Mask, dict[int, str]]:
    if walk.steady and walk.stages:
        walk.stages[:] = [(0, ())]
    arms = totals.astype(int).tolist()
    windows = [
        MetricWindow(walk.column.metric, Arm(canary), Arm(baseline), missing=_absent(has[:, look]))
        for look, (canary, baseline) in enumerate(zip(*arms, strict=True))
    ]
    return _listened(windows, shares, walk.unfit)


def _windowed(column: WindowedColumn, shares: Array) -> Intake:
    present, missing = _listened(column.windows, shares, lambda look: "")
    return Intake(present, missing, column.totals, (), windows=column.windows)


def _listened(
    windows: Sequence[MetricWindow], shares: Array, unfit: Callable[[int], str]
) -> tuple[Mask, dict[int, str]]:
    """Which looks have something to judge, [T], and why the others do not; ``unfit`` has the last word."""
    due: Due = (0.0, 0.0)
    seen = (0.0, 0.0)
    missing: dict[int, str] = {}
    for look, window in enumerate(windows):
        reason = window.missing
        if not reason and window.metric.kind in COUNTS_REQUESTS:
            share = None if math.isnan(shares[look]) else float(shares[look])
            reason, due = silence(window, due, share, look, seen)
            due = (round(due[0], 3), round(due[1], 3))
        reason = reason or unfit(look)
        if reason:
            missing[look] = reason
        else:
            seen = (seen[0] + window.canary.total, seen[1] + window.baseline.total)
    present = np.ones(len(windows), bool)
    present[list(missing)] = False
    return present, missing


def _absent(has: Mask) -> str:
    if not has.any():
        return "no counts in this look"
    return next((f"the {name} has no counts" for name, there in zip(ARMS, has, strict=True) if not there), "")


def _on_stages(column: LatencyColumn, stages: tuple[tuple[int, Bounds], ...], present: Mask) -> tuple[Array, ...]:
    """Buckets of every stage, on its bounds; zero where the look is missing."""
    ends = [start for start, _ in stages[1:]] + [present.size]
    values = [np.zeros((2, end - start, len(bounds) + 1)) for (start, bounds), end in zip(stages, ends, strict=True)]
    pieces = column.pieces
    for piece, until in zip(pieces, [later.start for later in pieces[1:]] + [present.size], strict=True):
        for (start, bounds), end, into in zip(stages, ends, values, strict=True):
            first, last = max(start, piece.start), min(end, until)
            if first >= last or not set(bounds) <= set(piece.bounds):
                continue  # Not one of these looks is present, or the bounds would have been merged.
            part = piece.counts[:, first - piece.start : last - piece.start]
            into[:, first - start : last - start] = merge_buckets(part, piece.bounds, bounds)
    for (start, _), end, into in zip(stages, ends, values, strict=True):
        into[:, ~present[start:end]] = 0.0
    return tuple(values)
