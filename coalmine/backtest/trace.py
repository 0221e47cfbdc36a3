"""Recorded looks: JSON Lines -> ``Trace``, with every fault at its file and line. The format is in docs/backtest.md."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any, NoReturn

import numpy as np

from coalmine.analysis.grids import Array
from coalmine.backtest.columns import Column, WrongObservation
from coalmine.backtest.kinds import column_of
from coalmine.errors import InputError
from coalmine.records import MetricCounts
from coalmine.spec.faults import did_you_mean, field_name, shown
from coalmine.spec.metrics import Metric


@dataclass
class Trace:
    """The looks of one release, in order."""

    name: str
    columns: Mapping[str, Column]
    """By metric."""
    at: list[datetime] = field(default_factory=list)
    weights: list[float | None] = field(default_factory=list)
    """Percent of the traffic on the canary; None where it is not known."""
    steady: list[bool] = field(default_factory=list)
    """Whether the whole window lay at that weight; if not, the sample ratio says nothing."""

    @property
    def looks(self) -> int:
        """How many."""
        return len(self.at)

    @property
    def shares(self) -> Array:
        """The canary's share of the traffic, 0-1, [T]; nan where it is not known."""
        known = zip(self.weights, self.steady, strict=True)
        return np.array([weight / 100.0 if steady and weight is not None else math.nan for weight, steady in known])

    @property
    def new_steps(self) -> tuple[bool, ...]:
        """Which looks are the first of a later step: the weight is another than before."""
        changed, last = [], None
        for weight in self.weights:
            changed.append(weight is not None and last is not None and weight != last)
            last = last if weight is None else weight
        return tuple(changed)

    @property
    def seconds(self) -> list[float]:
        """Length of each look: since the one before; the first is as long as usual. Empty for a single look."""
        gaps = [(later - earlier) / timedelta(seconds=1) for earlier, later in zip(self.at, self.at[1:], strict=False)]
        return [median(gaps), *gaps] if gaps else []

    def counts(self, look: int) -> list[MetricCounts]:
        """One look as metric sources would report it."""
        found = (column.counts(look) for column in self.columns.values())
        return [counts for counts in found if counts is not None]


class TraceReader:
    """Builds a trace look by look."""

    def __init__(self, name: str, metrics: Sequence[Metric]) -> None:
        """Args:
        name: what errors and results call it.
        metrics: what is judged.
        """
        self.trace = Trace(name, {metric.name: column_of(metric) for metric in metrics})

    def add(self, look: Any, where: str, *, steady: bool = True) -> None:
        """Take one look.

        Args:
            look: as a line of a trace holds it.
            where: what an error begins with.
            steady: whether its window lay wholly at its weight.

        Raises:
            InputError: it cannot be; names place, field, value and mend.
        """
        trace = self.trace
        if not isinstance(look, dict):
            _refuse(where, f'{shown(look)} is no look: a line is an object with "at", "weight" and "observations"')
        for key in ("at", "weight", "observations"):
            if key not in look:
                _refuse(where, f"{key}: is missing")
        at = _moment(look["at"], where)
        if trace.at and at <= trace.at[-1]:
            before = trace.at[-1].isoformat()
            _refuse(where, f"at: {look['at']} is not after {before} of the look before: give each look once, by time")
        weight = _weight(look["weight"], where)
        observations = look["observations"]
        if not isinstance(observations, dict):
            _refuse(where, f"observations: {shown(observations)} is no object of metrics")
        if not observations.keys() <= trace.columns.keys():
            unknown = next(name for name in observations if name not in trace.columns)
            known = did_you_mean(unknown, sorted(trace.columns))
            _refuse(where, f"{field_name(('observations', unknown))}: is no metric of the spec{known}")
        try:
            for name, column in trace.columns.items():
                column.add(observations.get(name))
        except WrongObservation as error:
            _refuse(where, str(error))
        trace.at.append(at)
        trace.weights.append(weight)
        trace.steady.append(steady)

    def finished(self) -> Trace:
        """The trace, once all its looks were taken."""
        seconds = self.trace.seconds
        for column in self.trace.columns.values():
            column.finish(seconds)
        return self.trace


def read_trace(lines: Iterable[str], name: str, metrics: Sequence[Metric]) -> Trace:
    """Read a trace; blank lines are left out.

    Args:
        lines: of the file.
        name: of the file, for errors and results.
        metrics: what the spec judges. Others in the trace are an error; those a look lacks are missing in it.

    Raises:
        InputError: the first line that is no look, as ``file:line: field: what is wrong``; or there is no line.
    """
    reader = TraceReader(name, metrics)
    decode = json.JSONDecoder(parse_constant=_no_number, object_pairs_hook=_no_twins).decode
    for number, line in enumerate(lines, 1):
        if line.isspace() or not line:
            continue
        where = f"{name}:{number}"
        if line.startswith("\ufeff"):
            _refuse(where, "begins with a byte order mark, which only a file may begin with: were files joined?")
        try:
            look = decode(line)
        except json.JSONDecodeError as error:
            _refuse(where, f"not JSON: {error.msg} at column {error.colno}")
        except _NotJson as error:
            _refuse(where, f"not JSON: {error}")
        except ValueError:
            _refuse(where, "not JSON: a number has too many digits")
        except RecursionError:
            _refuse(where, "not JSON: it is nested too deep")
        reader.add(look, where)
    if not reader.trace.looks:
        raise InputError(f"{name}: holds no look: a trace is JSON Lines, one look a line")
    return reader.finished()


def _refuse(where: str, what: str) -> NoReturn:
    raise InputError(f"{where}: {what}")


class _NotJson(ValueError):
    """What Python's reader would let pass."""


def _no_number(text: str) -> NoReturn:
    raise _NotJson(f"{text} is no number: where there is no data, write null")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twin, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise _NotJson(f"{shown(twin)} stands there twice: leave one out")
    return found


def _moment(value: Any, where: str) -> datetime:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        _refuse(where, f"at: {shown(value)} is no time such as 2026-01-01T00:00:10Z")
    if at.tzinfo is None:
        _refuse(where, f"at: {shown(value)} has no time zone: append Z for UTC")
    return at


def _weight(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float):
        _refuse(where, f"weight: {shown(value)} is no number: give the canary's percent of the traffic")
    if not 0 <= value <= 100:
        _refuse(where, f"weight: {shown(value)} is not between 0 and 100: give the canary's percent of the traffic")
    return float(value)
