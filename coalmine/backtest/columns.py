"""What a trace holds of one metric, by kind: ``COLUMNS`` is the one place where a kind is added.

A column takes one look's observation at a time, as the trace has it, and keeps it as arrays over the looks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from coalmine.analysis.grids import Array, Mask
from coalmine.analysis.latency import common_bounds, merge_buckets
from coalmine.errors import NotBuilt
from coalmine.records import ArmCounts, MetricCounts
from coalmine.spec.canary import Metric
from coalmine.spec.faults import shown

LARGEST = 2**53
"""Beyond it counts are no longer exact in a double."""
ARMS = ("canary", "baseline")


class WrongObservation(ValueError):
    """One observation that cannot be: ``field`` below the look, and what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")


class Column(ABC):
    """One metric over the looks of a trace; an arm that is missing in a look counts nothing there."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._place = f"observations.{metric.name}"
        self._totals: tuple[list[int], list[int]] = ([], [])
        self._has: tuple[list[bool], list[bool]] = ([], [])

    def add(self, observation: Any) -> None:
        """Take one look's observation; None = missing.

        Raises:
            WrongObservation: it cannot be.
        """
        if observation is None:
            observation = {}
        elif not isinstance(observation, dict):
            raise WrongObservation(
                self._place, f'{shown(observation)} is no object: write {{"baseline": ..., "canary": ...}}, or null'
            )
        totals = self._take(*(self._arm(observation, name) for name in ARMS))
        for arm, name, total in zip((0, 1), ARMS, totals, strict=True):
            self._totals[arm].append(total)
            self._has[arm].append(observation.get(name) is not None)

    def _arm(self, observation: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
        arm = observation.get(name)
        if arm is None or isinstance(arm, dict):
            return arm
        raise WrongObservation(f"{self._place}.{name}", f"{shown(arm)} is no object of counts, nor null")

    @property
    def totals(self) -> Array:
        """Requests of canary and baseline, [2, T]; 0 where the arm is missing."""
        return np.array(self._totals, float).reshape(2, -1)

    @property
    def has(self) -> Mask:
        """Which looks canary and baseline have, [2, T]."""
        return np.array(self._has, bool).reshape(2, -1)

    @abstractmethod
    def _take(self, canary: Mapping[str, Any] | None, baseline: Mapping[str, Any] | None) -> tuple[int, int]:
        """Keep one look; returns the requests of canary and baseline."""

    @abstractmethod
    def _counts(self, look: int, arm: int) -> ArmCounts:
        """What an arm (0 = canary) counted in a look."""

    def bounds(self, look: int) -> tuple[float, ...]:
        """Bucket bounds of a look, without +Inf; empty for kinds without a histogram."""
        return ()

    def counts(self, look: int) -> MetricCounts | None:
        """The look as a metric source would report it; None when neither arm has it."""
        has = [column[look] for column in self._has]
        if not any(has):
            return None
        canary, baseline = (self._counts(look, arm) if has[arm] else None for arm in (0, 1))
        bounds = list(self.bounds(look))
        return MetricCounts(metric=self.metric.name, canary=canary, baseline=baseline, bounds=bounds or None)


def whole(value: Any, field: str) -> int:
    """A count: a whole number from 0 to 2^53.

    Raises:
        WrongObservation: it is none.
    """
    number = int(value) if type(value) is float and value.is_integer() else value
    if type(number) is not int:
        raise WrongObservation(field, f"{shown(value)} is no count: give a whole number of requests")
    if number < 0:
        raise WrongObservation(field, f"{number} is negative: give the increase within the window")
    if number > LARGEST:
        raise WrongObservation(field, f"{number} is over 2^53, where counts are no longer exact")
    return number


class RatioColumn(Column):
    """Events out of requests."""

    def __init__(self, metric: Metric) -> None:
        super().__init__(metric)
        self._events: tuple[list[int], list[int]] = ([], [])

    @property
    def events(self) -> Array:
        """Events of canary and baseline, [2, T]."""
        return np.array(self._events, float).reshape(2, -1)

    def _take(self, canary: Mapping[str, Any] | None, baseline: Mapping[str, Any] | None) -> tuple[int, int]:
        totals = []
        found = []
        for name, arm in zip(ARMS, (canary, baseline), strict=True):
            events, total = (0, 0) if arm is None else self._read(arm, f"{self._place}.{name}")
            found.append(events)
            totals.append(total)
        for column, events in zip(self._events, found, strict=True):
            column.append(events)
        return totals[0], totals[1]

    def _read(self, arm: Mapping[str, Any], place: str) -> tuple[int, int]:
        for key in ("events", "total"):
            if key not in arm:
                raise WrongObservation(f"{place}.{key}", 'is missing: a ratio is {"events": ..., "total": ...}')
        events, total = whole(arm["events"], f"{place}.events"), whole(arm["total"], f"{place}.total")
        if events > total:
            raise WrongObservation(f"{place}.events", f"{events} events are more than the total of {total} requests")
        return events, total

    def _counts(self, look: int, arm: int) -> ArmCounts:
        return ArmCounts(total=self._totals[arm][look], events=self._events[arm][look])


@dataclass(frozen=True)
class Histograms:
    """Looks one after the other that share their bounds: requests per bucket of canary and baseline."""

    start: int
    bounds: tuple[float, ...]
    rows: tuple[list[Sequence[int]], list[Sequence[int]]]


class LatencyColumn(Column):
    """Requests per latency bucket."""

    def __init__(self, metric: Metric) -> None:
        super().__init__(metric)
        self.pieces: list[Histograms] = [Histograms(0, (), ([], []))]
        """In order; looks before the first bounds are known are a piece without bounds."""
        self._known: dict[tuple[Any, ...], tuple[float, ...]] = {}

    def bounds(self, look: int) -> tuple[float, ...]:
        """See ``Column``."""
        return self._piece(look).bounds

    def _take(self, canary: Mapping[str, Any] | None, baseline: Mapping[str, Any] | None) -> tuple[int, int]:
        places = [f"{self._place}.{name}" for name in ARMS]
        read = [
            None if arm is None else self._read(arm, place)
            for arm, place in zip((canary, baseline), places, strict=True)
        ]
        there = [one for one in read if one is not None]
        bounds = there[0][0] if there else self.pieces[-1].bounds
        if len(there) == 2 and there[1][0] != bounds:
            finer = bounds
            bounds = common_bounds(finer, there[1][0])
            if not bounds:
                raise WrongObservation(
                    f"{self._place}.baseline.le", "shares no bound with the canary's: both arms need the same"
                )
            read = [(bounds, [int(n) for n in merge_buckets(np.array(one[1]), one[0], bounds)]) for one in there]
        if bounds != self.pieces[-1].bounds:
            self.pieces.append(Histograms(len(self._totals[0]), bounds, ([], [])))
        nothing = (0,) * (len(bounds) + 1)
        rows = [nothing if one is None else one[1] for one in read]
        for column, row in zip(self.pieces[-1].rows, rows, strict=True):
            column.append(row)
        return sum(rows[0]), sum(rows[1])

    def _read(self, arm: Mapping[str, Any], place: str) -> tuple[tuple[float, ...], Sequence[int]]:
        for key in ("le", "counts"):
            if not isinstance(arm.get(key), list):
                said = f"{shown(arm[key])} is no list" if key in arm else "is missing"
                raise WrongObservation(f"{place}.{key}", f'{said}: latency is {{"le": [..., "+Inf"], "counts": [...]}}')
        le, counts = arm["le"], arm["counts"]
        bounds = self._bounds(le, f"{place}.le")
        if len(le) != len(counts):
            raise WrongObservation(
                f"{place}.counts", f"{len(counts)} counts for {len(le)} bounds: one for each, +Inf included"
            )
        if set(map(type, counts)) == {int} and min(counts) >= 0 and max(counts) <= LARGEST:
            return bounds, counts
        return bounds, [whole(count, f"{place}.counts[{at}]") for at, count in enumerate(counts)]

    def _bounds(self, le: list[Any], place: str) -> tuple[float, ...]:
        try:
            known = self._known.get(tuple(le))
        except TypeError:
            known = None  # Something in it is a list or an object: told below.
        if known is not None:
            return known
        if not le or le[-1] != "+Inf":
            raise WrongObservation(
                place, f'{shown(le)} does not end with "+Inf": the last bucket holds the slowest requests'
            )
        for at, bound in enumerate(le[:-1]):
            if type(bound) not in (int, float) or not bound > 0:
                raise WrongObservation(f"{place}[{at}]", f"{shown(bound)} is no bound: give seconds above 0")
        bounds = tuple(float(bound) for bound in le[:-1])
        if not bounds:
            raise WrongObservation(place, "holds +Inf only: one bucket says nothing of latency")
        if any(not lower < upper for lower, upper in pairwise(bounds)):
            raise WrongObservation(place, f"{shown(le)} does not rise: give upper bounds in seconds")
        self._known[tuple(le)] = bounds
        return bounds

    def _piece(self, look: int) -> Histograms:
        return next(piece for piece in reversed(self.pieces) if piece.start <= look)

    def _counts(self, look: int, arm: int) -> ArmCounts:
        piece = self._piece(look)
        buckets = list(piece.rows[arm][look - piece.start])
        return ArmCounts(total=sum(buckets), buckets=buckets)


COLUMNS: dict[str, type[Column]] = {"ratio": RatioColumn, "latency": LatencyColumn}
"""By kind of metric."""


def column_of(metric: Metric) -> Column:
    """An empty column for a metric.

    Raises:
        NotBuilt: traces of its kind cannot be judged yet.
    """
    if metric.kind not in COLUMNS:
        known = ", ".join(COLUMNS)
        raise NotBuilt(f"metrics.{metric.name}: kind '{metric.kind}' cannot be backtested yet (can be: {known})")
    return COLUMNS[metric.kind](metric)
