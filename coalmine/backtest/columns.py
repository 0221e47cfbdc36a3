"""What a trace holds of one metric: a column takes one look's observation at a time, as the trace has it.

``ratio`` and ``latency``, which most traces are made of, are kept as arrays over the looks; the other kinds are in
``coalmine.backtest.windowed``. ``coalmine.backtest.kinds`` is the one place where a kind is added.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from coalmine.analysis.coarse import judged_bounds
from coalmine.analysis.grids import Array, Mask
from coalmine.analysis.latency import common_bounds, merge_buckets
from coalmine.records import ArmCounts, MetricCounts
from coalmine.records.metrics import LARGEST_COUNT
from coalmine.spec.faults import did_you_mean, field_name, shown
from coalmine.spec.metrics import Metric

ARMS = ("canary", "baseline")


class WrongObservation(ValueError):
    """One observation that cannot be: ``field`` below the look, and what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")


class Column(ABC):
    """One metric over the looks of a trace; an arm that is missing in a look counts nothing there.

    Looks are added in order; ``finish`` ends that, and only then there are arrays.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.totals: Array = np.zeros((2, 0))
        """Requests of canary and baseline, [2, T]; 0 where the arm is missing, and for kinds that count none."""
        self._place = f"observations.{metric.name}"

    @abstractmethod
    def add(self, observation: Any) -> None:
        """Take one look's observation; None = missing.

        Raises:
            WrongObservation: it cannot be.
        """

    @abstractmethod
    def finish(self, seconds: Sequence[float]) -> None:
        """There are no more looks; ``seconds`` each was long, empty when nobody knows."""

    @abstractmethod
    def counts(self, look: int) -> MetricCounts | None:
        """The look as a metric source would report it; None when it is missing."""

    def bounds(self, look: int) -> tuple[float, ...]:
        """Bucket bounds of a look, without +Inf; empty for kinds without a histogram."""
        return ()


def arms_of(observation: Any, place: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Canary and baseline of an observation.

    Raises:
        WrongObservation: it is no object of two objects, or lacks an arm and has something else instead: a misspelt
            arm would count as one without data.
    """
    if type(observation) is not dict:
        raise WrongObservation(
            place, f'{shown(observation)} is no object: write {{"baseline": ..., "canary": ...}}, or null'
        )
    found = observation.get("canary"), observation.get("baseline")
    for name, arm in zip(ARMS, found, strict=True):
        if arm is not None and type(arm) is not dict:
            raise WrongObservation(f"{place}.{name}", f"{shown(arm)} is no object of counts, nor null")
    unknown = [key for key in observation if key not in (*ARMS, "seconds")]
    if unknown and None in found:
        field = field_name((*place.split("."), unknown[0]))
        raise WrongObservation(field, f"is no arm{did_you_mean(unknown[0], sorted(ARMS))}")
    return found


class CountedColumn(Column):
    """Both arms' counts as arrays."""

    def __init__(self, metric: Metric) -> None:
        super().__init__(metric)
        self.has: Mask = np.zeros((2, 0), bool)
        """Which looks canary and baseline have, [2, T]."""
        self._requests: tuple[list[int], list[int]] = ([], [])
        self._there: tuple[list[bool], list[bool]] = ([], [])

    def add(self, observation: Any) -> None:
        """See ``Column``."""
        canary, baseline = (None, None) if observation is None else arms_of(observation, self._place)
        totals, there = self._take(canary, baseline), (canary is not None, baseline is not None)
        for arm in (0, 1):
            self._requests[arm].append(totals[arm])
            self._there[arm].append(there[arm])

    def finish(self, seconds: Sequence[float]) -> None:
        """See ``Column``."""
        self.totals, self.has = np.array(self._requests, float), np.array(self._there, bool)
        self._requests, self._there = ([], []), ([], [])

    @abstractmethod
    def _take(self, canary: dict[str, Any] | None, baseline: dict[str, Any] | None) -> tuple[int, int]:
        """Keep one look; returns the requests of canary and baseline."""

    @abstractmethod
    def _counts(self, look: int, arm: int) -> ArmCounts:
        """What an arm (0 = canary) counted in a look."""

    def counts(self, look: int) -> MetricCounts | None:
        """See ``Column``."""
        has = self.has[:, look]
        if not has.any():
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
        raise WrongObservation(field, f"{shown(value)} is negative: give the increase within the window")
    if number > LARGEST_COUNT:
        said = f"{shown(value)} is over 2^53, where counts are no longer exact"
        raise WrongObservation(field, f"{said}: give the increase within the window, or null")
    return number


def events_and_total(arm: dict[str, Any], place: str) -> tuple[int, int]:
    """Events out of requests.

    Raises:
        WrongObservation: they are none.
    """
    events, total = arm.get("events"), arm.get("total")
    if type(events) is int and type(total) is int and 0 <= events <= total <= LARGEST_COUNT:
        return events, total
    for key in ("events", "total"):
        if key not in arm:
            raise WrongObservation(f"{place}.{key}", 'is missing: write {"events": ..., "total": ...}')
    events, total = whole(events, f"{place}.events"), whole(total, f"{place}.total")
    if events > total:
        raise WrongObservation(f"{place}.events", f"{events} events are more than the total of {total} requests")
    return events, total


class RatioColumn(CountedColumn):
    """Events out of requests."""

    def __init__(self, metric: Metric) -> None:
        super().__init__(metric)
        self.events: Array = np.zeros((2, 0))
        """Events of canary and baseline, [2, T]."""
        self._events: tuple[list[int], list[int]] = ([], [])

    def finish(self, seconds: Sequence[float]) -> None:
        """See ``Column``."""
        super().finish(seconds)
        self.events = np.array(self._events, float)
        self._events = ([], [])

    def _take(self, canary: dict[str, Any] | None, baseline: dict[str, Any] | None) -> tuple[int, int]:
        x_c, n_c = (0, 0) if canary is None else events_and_total(canary, f"{self._place}.canary")
        x_b, n_b = (0, 0) if baseline is None else events_and_total(baseline, f"{self._place}.baseline")
        self._events[0].append(x_c)
        self._events[1].append(x_b)
        return n_c, n_b

    def _counts(self, look: int, arm: int) -> ArmCounts:
        return ArmCounts(total=int(self.totals[arm, look]), events=int(self.events[arm, look]))


@dataclass
class Histograms:
    """Looks one after the other that share their bounds."""

    start: int
    """The first of them."""
    bounds: tuple[float, ...]
    counts: Array
    """Requests per bucket of canary and baseline, [2, n, B]."""


class LatencyColumn(CountedColumn):
    """Requests per latency bucket."""

    def __init__(self, metric: Metric) -> None:
        super().__init__(metric)
        self.pieces: list[Histograms] = [Histograms(0, (), np.zeros((2, 0, 1)))]
        """In order; looks before the first bounds are known are a piece without bounds."""
        self._rows: tuple[list[Sequence[int]], list[Sequence[int]]] = ([], [])
        self._le: list[Any] = []
        self._given: tuple[float, ...] = ()
        self._bounds: tuple[float, ...] = ()
        """Those of ``_given`` that are judged."""

    def finish(self, seconds: Sequence[float]) -> None:
        """See ``Column``."""
        super().finish(seconds)
        self._close()

    def bounds(self, look: int) -> tuple[float, ...]:
        """See ``Column``."""
        return self._piece(look).bounds

    def _take(self, canary: dict[str, Any] | None, baseline: dict[str, Any] | None) -> tuple[int, int]:
        bounds = self.pieces[-1].bounds
        row_c: Sequence[int] = ()
        row_b: Sequence[int] = ()
        if canary is not None:
            bounds, row_c = self._read(canary, "canary")
        if baseline is not None:
            before = bounds
            bounds, row_b = self._read(baseline, "baseline")
            if canary is not None and bounds != before:
                row_c, row_b, bounds = self._merged(row_c, before, row_b, bounds)
        if bounds != self.pieces[-1].bounds:
            self._close()
            self.pieces.append(Histograms(len(self._requests[0]), bounds, np.zeros((2, 0, len(bounds) + 1))))
        nothing = (0,) * (len(bounds) + 1)
        self._rows[0].append(row_c or nothing)
        self._rows[1].append(row_b or nothing)
        return sum(row_c), sum(row_b)

    def _close(self) -> None:
        """Turn the rows of the last piece into an array."""
        piece = self.pieces[-1]
        piece.counts = np.array(self._rows, float).reshape(2, -1, len(piece.bounds) + 1)
        self._rows = ([], [])

    def _merged(
        self, row_c: Sequence[int], bounds_c: tuple[float, ...], row_b: Sequence[int], bounds_b: tuple[float, ...]
    ) -> tuple[Sequence[int], Sequence[int], tuple[float, ...]]:
        """Both arms on the bounds both have."""
        common = common_bounds(bounds_c, bounds_b)
        if not common:
            raise WrongObservation(
                f"{self._place}.baseline.le", "shares no bound with the canary's: both arms need the same"
            )
        merged = (merge_buckets(np.array(row), at, common) for row, at in ((row_c, bounds_c), (row_b, bounds_b)))
        row_c, row_b = ([int(count) for count in row] for row in merged)
        return row_c, row_b, common

    def _read(self, arm: dict[str, Any], name: str) -> tuple[tuple[float, ...], Sequence[int]]:
        le, counts = arm.get("le"), arm.get("counts")
        if type(le) is not list or type(counts) is not list:
            key = "counts" if type(le) is list else "le"
            said = f"{shown(arm[key])} is no list" if key in arm else "is missing"
            raise WrongObservation(
                f"{self._place}.{name}.{key}", f'{said}: latency is {{"le": [..., "+Inf"], "counts": [...]}}'
            )
        if le != self._le:
            self._given, self._le = self._read_bounds(le, f"{self._place}.{name}.le"), le
            self._bounds = judged_bounds(self._given, self.metric)
        if len(le) != len(counts):
            raise WrongObservation(
                f"{self._place}.{name}.counts",
                f"{len(counts)} counts for {len(le)} bounds: one for each, +Inf included",
            )
        if set(map(type, counts)) != _ONLY_INTEGERS or min(counts) < 0 or max(counts) > LARGEST_COUNT:
            counts = [whole(count, f"{self._place}.{name}.counts[{at}]") for at, count in enumerate(counts)]
        whole(sum(counts), f"{self._place}.{name}.counts")
        if self._bounds != self._given:
            counts = [int(count) for count in merge_buckets(np.array(counts, float), self._given, self._bounds)]
        return self._bounds, counts

    def _read_bounds(self, le: list[Any], place: str) -> tuple[float, ...]:
        if not le or le[-1] != "+Inf":
            raise WrongObservation(
                place, f'{shown(le)} does not end with "+Inf": the last bucket holds the slowest requests'
            )
        for at, bound in enumerate(le[:-1]):
            # 0 is one: histograms of OpenTelemetry begin with it where nobody chose other bounds.
            if type(bound) not in (int, float) or not 0 <= bound <= LARGEST_COUNT:
                raise WrongObservation(f"{place}[{at}]", f"{shown(bound)} is no bound: give seconds, 0 or more")
        bounds = tuple(float(bound) for bound in le[:-1])
        if not bounds:
            raise WrongObservation(place, "holds +Inf only: one bucket says nothing of latency")
        if any(not lower < upper for lower, upper in pairwise(bounds)):
            raise WrongObservation(place, f"{shown(le)} does not rise: give upper bounds in seconds")
        return bounds

    def _piece(self, look: int) -> Histograms:
        return next(piece for piece in reversed(self.pieces) if piece.start <= look)

    def _counts(self, look: int, arm: int) -> ArmCounts:
        piece = self._piece(look)
        buckets = [int(count) for count in piece.counts[arm, look - piece.start]]
        return ArmCounts(total=sum(buckets), buckets=buckets)


_ONLY_INTEGERS = {int}
