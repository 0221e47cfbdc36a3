"""Stores that answer each selector of a metric with rows, for one arm and one window: strict types, and no data told
apart from zero."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from activities.sources.each_arm import NoCounts, each_arm, no_data_check
from activities.sources.settled import unsettled
from coalmine.errors import CoalmineError, QueryRejected
from coalmine.records import ArmCounts, Check, CollectRequest, MetricCounts, Window
from coalmine.records.metrics import LARGEST_COUNT
from coalmine.spec.canary import Arm, ArmName, Arms
from coalmine.spec.faults import shown
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.spec.templates import PARTS, Part

LOOKED_BACK = timedelta(hours=1)
"""How far a check looks."""
Row = tuple[Any, ...]
Asked = tuple[Part | Literal["query"], str]
"""A part of a metric, and one of its selectors."""


class RowSource(ABC):
    """A metric source whose selectors are questions; what is left to each kind is to ask them."""

    @abstractmethod
    async def ask(
        self, source: Source, metric: Metric, asked: Sequence[Asked], arm: Arm, window: Window
    ) -> list[list[Row]]:
        """The rows each question is answered with: of one column, and for buckets ``(upper bound, count)``.

        Raises:
            NoCounts: the store has nothing to say.
            SourceUnreachable: no answer in time.
            QueryRejected: the store refused; says how to mend it.
        """

    async def collect(self, source: Source, metric: Metric, request: CollectRequest) -> MetricCounts:
        """What the selectors answer for the arms, or ``no_data`` where one has no row, or NULL.

        Raises:
            SourceUnreachable: the store did not answer in time.
            QueryRejected: it refused a question, or an answer is not what is counted; says how to mend it.
        """
        if reason := unsettled(source, request.window):
            return MetricCounts(metric=metric.name, status="no_data", reason=reason)
        seconds = (request.window.end - request.window.start).total_seconds()
        if metric.kind == "threshold":
            statement = metric.query or ""
            try:
                (rows,) = await self.ask(source, metric, [("query", statement)], request.arms.canary, request.window)
                value = _number(metric, "query", _single(rows, "query"))
            except NoCounts as error:
                return MetricCounts(metric=metric.name, status="no_data", reason=f"canary: {error}")
            return MetricCounts(metric=metric.name, value=value, queries=[statement], seconds=seconds)

        def read(name: ArmName) -> Awaitable[tuple[ArmCounts, list[float]]]:
            return self._arm(source, metric, getattr(request.arms, name), request.window)

        try:
            counted = await each_arm(read, request)
        except NoCounts as error:
            return MetricCounts(metric=metric.name, status="no_data", reason=str(error))
        bounds = {name: one[1] for name, one in counted.items()}
        if len(set(map(tuple, bounds.values()))) > 1:
            reason = f"the arms' histograms have different bounds: {bounds}; answer every bound, also with 0"
            return MetricCounts(metric=metric.name, status="no_data", reason=reason)
        return MetricCounts(
            metric=metric.name,
            baseline=counted["baseline"][0] if "baseline" in counted else None,
            canary=counted["canary"][0],
            bounds=bounds["canary"] if metric.kind == "latency" else None,
            queries=[text for part in PARTS[metric.kind] for text in _texts(metric, part)],
            seconds=seconds,
        )

    async def check(self, source: Source, metric: Metric, arms: Arms) -> list[Check]:
        """What each arm counted in the last hour."""
        end = datetime.now(UTC) - source.flush
        window = Window(start=end - LOOKED_BACK, end=end)
        request = CollectRequest(window=window, metrics=[metric], arms=arms, sources={metric.source: source})
        try:
            found = await self.collect(source, metric, request)
            if found.status != "ok":
                told = no_data_check(metric.name, metric.name, found.reason)
                if told.ok and metric.kind == "threshold" and (problem := await self._unknown(source, metric, request)):
                    return [Check(ok=False, name=metric.name, reason=problem)]
                return [told]
        except CoalmineError as error:
            return [Check(ok=False, name=f"source {metric.source}", reason=str(error))]
        counted = f"in the last hour: baseline {found.baseline}, canary {found.canary}"
        return [Check(ok=True, name=metric.name, reason=counted if found.value is None else f"answers {found.value:g}")]

    async def _unknown(self, source: Source, metric: Metric, request: CollectRequest) -> str:
        """Why a query that has nothing of the canary has nothing of the baseline either; empty where it has.

        Looks ask it of the canary alone. Where it has no answer for anybody it is wrong, or asks in the wrong place.
        """
        baseline = request.arms.baseline
        arms = Arms(baseline=baseline, canary=baseline)
        found = await self.collect(source, metric, request.model_copy(update={"arms": arms}))
        return "" if found.status == "ok" else f"baseline and {found.reason}"

    async def _arm(self, source: Source, metric: Metric, arm: Arm, window: Window) -> tuple[ArmCounts, list[float]]:
        parts = PARTS[metric.kind]
        texts = {part: _texts(metric, part) for part in parts}
        asked: list[Asked] = [(part, text) for part in parts for text in texts[part]]
        answers = iter(await self.ask(source, metric, asked, arm, window))
        found = {part: [next(answers) for _ in texts[part]] for part in parts}
        if metric.kind == "latency":
            return _histogram(metric, found["buckets"])
        if metric.kind == "value":
            values = [_number(metric, "values", row[0]) for rows in found["values"] for row in rows]
            if not values:
                raise NoCounts("empty: values answered no row")
            return ArmCounts(values=values), []
        counts = {part: sum(_count(metric, part, _single(rows, part)) for rows in found[part]) for part in parts}
        if metric.kind == "count":
            return ArmCounts(events=counts["events"]), []
        if counts["events"] > counts["total"]:
            raise NoCounts(
                f"{counts['events']} events among {counts['total']} requests: events must be a part of total"
            )
        return ArmCounts(total=counts["total"], events=counts["events"]), []


def _histogram(metric: Metric, answers: Sequence[Sequence[Row]]) -> tuple[ArmCounts, list[float]]:
    """Rows ``(upper bound, count)``: of that bucket alone, in the metric's unit, NULL above the last bound."""
    buckets: dict[float, int] = {}
    for row in (row for rows in answers for row in rows):
        if len(row) != 2:
            raise QueryRejected(f"metrics.{metric.name}.buckets answered {len(row)} columns: (upper bound, count)")
        bound = math.inf if row[0] is None else _number(metric, "buckets", row[0])
        buckets[bound] = buckets.get(bound, 0) + _count(metric, "buckets", row[1])
    if not buckets:
        raise NoCounts("empty: buckets answered no row")
    divisor = 1000.0 if metric.unit == "ms" else 1.0
    bounds = sorted(bound for bound in buckets if bound < math.inf)
    counts = [*(buckets[bound] for bound in bounds), buckets.get(math.inf, 0)]
    return ArmCounts(total=sum(counts), buckets=counts), [bound / divisor for bound in bounds]


def _single(rows: Sequence[Row], part: str) -> object:
    if len(rows) > 1 or (rows and len(rows[0]) != 1):
        raise QueryRejected(f"{part} answered {len(rows)} rows of {len(rows[0])} columns: it must answer one number")
    if not rows or rows[0][0] is None:
        raise NoCounts(f"empty: {part} answered {'null' if rows else 'no row'}")
    return rows[0][0]


def _count(metric: Metric, part: str, value: object) -> int:
    """A whole number; a fraction or a text would be a wrong statement, and is not rounded."""
    whole = isinstance(value, Decimal) and value == value.to_integral_value()
    if isinstance(value, bool) or not (isinstance(value, int) or whole) or int(value) < 0:  # type: ignore[call-overload]
        raise QueryRejected(
            f"metrics.{metric.name}.{part} answered {value!r}: counts are whole numbers from 0; cast it"
        )
    if value > LARGEST_COUNT:  # type: ignore[operator]
        said = f"answered {shown(value)}, which is over 2^53, where counts are no longer exact"
        raise QueryRejected(f"metrics.{metric.name}.{part} {said}")
    return int(value)  # type: ignore[call-overload,no-any-return]


def _number(metric: Metric, part: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else math.nan
    except (OverflowError, ValueError):
        number = math.nan  # A whole number beyond a double, or a Decimal that signals that it is none.
    if not math.isfinite(number):
        raise QueryRejected(f"metrics.{metric.name}.{part} answered {shown(value)}: it must be a finite number")
    return number


def _texts(metric: Metric, part: str) -> list[str]:
    own: str | list[str] | None = getattr(metric, part)
    return [own] if isinstance(own, str) else list(own or [])
