"""Columns of the kinds that are judged window by window: ``value``, ``count``, ``slo`` and ``threshold``.

Each look is kept as a metric source would report it, and read by what reads a rollout's own looks
(``coalmine.analysis.windows``): what is refused there is refused here, with the same words.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from coalmine.analysis.windows import MetricWindow, read_windows
from coalmine.backtest.columns import ARMS, Column, WrongObservation, arms_of, events_and_total, whole
from coalmine.errors import InputError
from coalmine.records import ArmCounts, BurnCounts, MetricCounts
from coalmine.spec.faults import shown
from coalmine.spec.metrics import Metric

LONGEST_WINDOW = 366 * 86_400.0
"""Seconds. Nothing is judged by longer ones, and rates per so many would leave the range of numbers."""
_MOST = sys.float_info.max


class WindowedColumn(Column):
    """A window for every look."""

    def __init__(self, metric: Metric) -> None:
        super().__init__(metric)
        self.windows: list[MetricWindow] = []
        """As the judge reads them, [T]; ``missing`` says why one holds nothing to judge."""
        self._found: list[MetricCounts | None] = []

    def add(self, observation: Any) -> None:
        """See ``Column``."""
        counts = None if observation is None else self._read(observation)
        try:
            window = read_windows([self.metric], [] if counts is None else [counts], compare=True)[0]
        except InputError as error:
            field, _, said = str(error).removeprefix(f"counts.{self.metric.name}.").partition(": ")
            raise WrongObservation(f"{self._place}.{field}", said) from None
        self._found.append(counts)
        self.windows.append(window)

    def finish(self, seconds: Sequence[float]) -> None:
        """See ``Column``."""
        if seconds:
            self._found = [
                counts
                if counts is None or counts.seconds is not None
                else counts.model_copy(update={"seconds": length})
                for counts, length in zip(self._found, seconds, strict=True)
            ]
            self.windows = [
                window if window.missing or window.seconds is not None else window._replace(seconds=length)
                for window, length in zip(self.windows, seconds, strict=True)
            ]
        totals = [[getattr(window, arm).total for window in self.windows] for arm in ARMS]
        self.totals = np.array(totals, float)

    def counts(self, look: int) -> MetricCounts | None:
        """See ``Column``."""
        return self._found[look]

    @abstractmethod
    def _read(self, observation: Any) -> MetricCounts | None:
        """What a source would have reported; None: nothing."""


class ArmsColumn(WindowedColumn):
    """Windows that tell of each arm apart."""

    def _read(self, observation: Any) -> MetricCounts | None:
        arms = arms_of(observation, self._place)
        read = (
            None if arm is None else self._arm(arm, f"{self._place}.{name}")
            for name, arm in zip(ARMS, arms, strict=True)
        )
        canary, baseline = read
        if canary is None and baseline is None:
            return None
        return MetricCounts(
            metric=self.metric.name, canary=canary, baseline=baseline, seconds=_seconds(observation, self._place)
        )

    @abstractmethod
    def _arm(self, arm: dict[str, Any], place: str) -> ArmCounts:
        """What one arm counted."""


class ValueColumn(ArmsColumn):
    """A number of every instance."""

    def _arm(self, arm: dict[str, Any], place: str) -> ArmCounts:
        values = arm.get("values")
        if type(values) is not list:
            said = f"{shown(values)} is no list" if "values" in arm else "is missing"
            raise WrongObservation(f"{place}.values", f'{said}: a value is {{"values": [one of each instance]}}')
        return ArmCounts(values=[number(value, f"{place}.values[{at}]") for at, value in enumerate(values)])


class CountColumn(ArmsColumn):
    """Events without requests."""

    def _arm(self, arm: dict[str, Any], place: str) -> ArmCounts:
        if "events" not in arm:
            raise WrongObservation(f"{place}.events", 'is missing: a count is {"events": ...}')
        return ArmCounts(events=whole(arm["events"], f"{place}.events"))


class SloColumn(ArmsColumn):
    """Bad requests out of all, and those of the longer windows that burn rates look at."""

    def _arm(self, arm: dict[str, Any], place: str) -> ArmCounts:
        events, total = events_and_total(arm, place)
        burn = arm.get("burn")
        if burn is None:
            return ArmCounts(total=total, events=events)
        if type(burn) is not list:
            raise WrongObservation(f"{place}.burn", f"{shown(burn)} is no list of windows, nor null")
        windows = [self._burn(window, f"{place}.burn[{at}]") for at, window in enumerate(burn)]
        return ArmCounts(total=total, events=events, burn=windows)

    def _burn(self, window: Any, place: str) -> BurnCounts:
        if type(window) is not dict:
            raise WrongObservation(
                place, f'{shown(window)} is no window: write {{"seconds": ..., "events": ..., "total": ...}}'
            )
        events, total = events_and_total(window, place)
        length = _seconds(window, place)
        if length is None:
            raise WrongObservation(f"{place}.seconds", "is missing: say how far the window reaches back")
        return BurnCounts(seconds=length, events=events, total=total)


class ThresholdColumn(WindowedColumn):
    """The answer of a query, of no arm in particular."""

    def _read(self, observation: Any) -> MetricCounts | None:
        if type(observation) is not dict:
            raise WrongObservation(self._place, f'{shown(observation)} is no object: write {{"value": ...}}, or null')
        if "value" not in observation:
            raise WrongObservation(f"{self._place}.value", 'is missing: a threshold is {"value": ...}')
        value = observation["value"]
        if value is None:
            return None
        return MetricCounts(
            metric=self.metric.name,
            value=number(value, f"{self._place}.value"),
            seconds=_seconds(observation, self._place),
        )


def number(value: Any, field: str) -> float:
    """A finite number.

    Raises:
        WrongObservation: it is none.
    """
    # Not ``math.isfinite``, which raises for a whole number beyond a double.
    if type(value) not in (int, float) or not -_MOST <= value <= _MOST:
        raise WrongObservation(field, f"{shown(value)} is no number: leave it out where there is no data")
    return float(value)


def _seconds(observation: dict[str, Any], place: str) -> float | None:
    """How long a window was, where it says so itself."""
    value = observation.get("seconds")
    if value is None:
        return None
    length = number(value, f"{place}.seconds")
    if length <= 0:
        raise WrongObservation(f"{place}.seconds", f"{length:g} is no length of a window: give seconds above 0")
    if length > LONGEST_WINDOW:
        raise WrongObservation(f"{place}.seconds", f"{length:g} is over a year: give the seconds of the window")
    return length
