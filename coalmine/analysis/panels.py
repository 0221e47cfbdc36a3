"""Metrics that are judged alike are folded together: one array for all of them costs little more than for one.

A panel's state has an axis for its metrics behind the batch's, [S, M, ...]; a panel of one metric has none, [S, ...].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coalmine.analysis.grids import Numeric
from coalmine.analysis.kinds import AnyCounts, AnyState, MetricJudge
from coalmine.analysis.metrics import LatencyMetric, LatencyState, RatioMetric
from coalmine.analysis.trees import rebuild
from coalmine.analysis.windows import Bounds


@dataclass(frozen=True)
class Panel:
    """Evidence of the metrics ``members``, by their place in the judge."""

    members: tuple[int, ...]
    state: AnyState

    def of(self, place: int) -> AnyState:
        """State of one member, [S, ...], by its place in the panel."""
        return self.state if len(self.members) == 1 else rebuild(lambda values: values[:, place], self.state)


class Panels:
    """How the metrics of a judge are gathered, by the bounds their histograms have."""

    def __init__(self, judges: Sequence[MetricJudge]) -> None:
        self._judges = judges
        self._joined: dict[tuple[int, ...], MetricJudge] = {}
        self._fresh: tuple[Mapping[int, Bounds], tuple[Panel, ...]] | None = None

    def members(self, bounds: Mapping[int, Bounds]) -> list[tuple[int, ...]]:
        """Places of the metrics of each panel.

        Args:
            bounds: of the histograms, by place; absent or empty: none known yet.
        """
        alike: dict[Any, list[int]] = {}
        for place, judge in enumerate(self._judges):
            key = (judge.alike, bounds.get(place, ())) if isinstance(judge, RatioMetric | LatencyMetric) else place
            alike.setdefault(key, []).append(place)
        return [tuple(places) for places in alike.values()]

    def judge(self, members: tuple[int, ...]) -> MetricJudge:
        """What judges a panel's state."""
        if members not in self._joined:
            first, *others = (self._judges[place] for place in members)
            self._joined[members] = first.beside(others) if others else first  # type: ignore[attr-defined]
        return self._joined[members]

    def start(self, size: int, bounds: Mapping[int, Bounds]) -> tuple[Panel, ...]:
        """Nothing seen, for ``size`` runs."""
        # One run at a time is read from what was written down, look after look, into the same empty state.
        fresh = self._fresh
        if size == 1 and fresh is not None and fresh[0] == bounds:
            return fresh[1]
        found = tuple(self._empty(members, size, bounds.get(members[0], ())) for members in self.members(bounds))
        if size == 1:
            self._fresh = (bounds, found)
        return found

    def _empty(self, members: tuple[int, ...], size: int, bounds: Bounds) -> Panel:
        number = len(members)
        state = self._judges[members[0]].start(size * number, bounds)
        if number > 1:
            state = rebuild(lambda values: values.reshape(size, number, *values.shape[1:]), state)
        return Panel(members, state)

    def with_bounds(self, panels: Sequence[Panel], bounds: Mapping[int, Bounds]) -> tuple[Panel, ...]:
        """The same evidence on other bounds, for the histograms named; gathered anew."""
        states: dict[int, AnyState] = {}
        known: dict[int, Bounds] = {}
        for panel in panels:
            for at, place in enumerate(panel.members):
                state, judge = panel.of(at), self._judges[place]
                if isinstance(state, LatencyState) and isinstance(judge, LatencyMetric):
                    if place in bounds:
                        state = judge.with_bounds(state, bounds[place])
                    known[place] = state.bounds
                states[place] = state
        return tuple(Panel(members, together([states[place] for place in members])) for members in self.members(known))


def together(parts: Sequence[Any]) -> Any:
    """States or windows [S, ...] of a panel's members as one [S, M, ...]; that of a single one as it is."""
    if len(parts) == 1:
        return parts[0]

    return rebuild(_side_by_side, *parts)


def windows_together(parts: Sequence[AnyCounts]) -> AnyCounts:
    """Windows [S, ...] of a panel's members as one [S, M, ...]; that of a single one as it is."""
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return type(parts[0])(*(_side_by_side(*values) for values in columns))


def _side_by_side(*values: Numeric) -> Numeric:
    """[S, ...] of each member as [S, M, ...]; ``numpy.stack`` takes four times as long."""
    first = values[0]
    return np.concatenate(values).reshape(len(values), *first.shape).swapaxes(0, 1)
