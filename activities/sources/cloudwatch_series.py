"""What CloudWatch holds of a few series: data points by the end of their period, asked for at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from activities.aws_services import AwsPlace, AwsServices, telling
from activities.sources.each_arm import NoCounts
from coalmine.errors import QueryRejected, SourceUnreachable
from coalmine.spec.cloudwatch import Series
from coalmine.spec.sources import Source

MOST_QUERIES = 500
"""Of one call."""
MOST_LISTED = 50
"""Metrics one selector may match."""


@dataclass(frozen=True)
class Statistic:
    """One statistic of one metric."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    stat: str

    def __str__(self) -> str:
        told = ",".join(f'{name}="{value}"' for name, value in self.dimensions)
        return f"{self.stat}({self.namespace} {self.name}{{{told}}})"


Points = Mapping[Statistic, Mapping[datetime, float]]
"""Values by the end of their period."""


class CloudwatchReader:
    """Calls of CloudWatch for one source."""

    def __init__(self, services: AwsServices, name: str, source: Source) -> None:
        self._services, self._name, self._source = services, name, source
        self._place = AwsPlace(source.region, source.url or None)

    async def statistics(self, series: Series, beside: Iterable[Statistic] = ()) -> list[list[Statistic]]:
        """The statistics of each metric a selector matches: its count, or its total and a count for every bound.

        ``beside`` are of the requests among which it counts: CloudWatch lists no metric of errors before the first,
        nor for a quarter of an hour after it, but answers for it at once by the dimensions the requests have.

        Raises:
            NoCounts: none matches.
            QueryRejected: too many do, or AWS refused.
            SourceUnreachable: AWS did not answer.
        """
        found = [tuple((one.label, one.value) for one in series.dimensions)]
        if not series.is_exact:
            found = list(dict.fromkeys([*_named_by(series, beside), *await self._listed(series)]))
            if not found:
                told = ", ".join(str(one) for one in series.dimensions)
                raise NoCounts(
                    f"empty: CloudWatch lists no {series.namespace} {series.name} with {told} (a new one: 15 min)"
                )
        stats = [series.stat]
        if series.bounds:
            low = ["", *(f"{bound:g}" for bound in series.bounds)]
            stats = ["SampleCount", *(f"TC({a}:{b})" for a, b in pairwise(low))]
        return [[Statistic(series.namespace, series.name, sorted_, stat) for stat in stats] for sorted_ in found]

    async def points(self, wanted: Iterable[Statistic], start: datetime, end: datetime) -> Points:
        """Data points whose period ends in ``(start, end]``.

        Raises:
            NoCounts: CloudWatch has not got them all together.
            QueryRejected, SourceUnreachable: as ``statistics``.
        """
        order = list(dict.fromkeys(wanted))
        found: dict[Statistic, dict[datetime, float]] = {statistic: {} for statistic in order}
        for at in range(0, len(order), MOST_QUERIES):
            await self._read(order[at : at + MOST_QUERIES], found, start, end)
        return found

    async def alarms(self, names: Sequence[str]) -> dict[str, str]:
        """States by name: OK, ALARM or INSUFFICIENT_DATA, of those there are.

        Raises:
            QueryRejected, SourceUnreachable: as ``statistics``.
        """
        kinds = ["MetricAlarm", "CompositeAlarm"]
        told = await self.ask("describe_alarms", AlarmNames=list(names), AlarmTypes=kinds)
        found = [*told.get("MetricAlarms", ()), *told.get("CompositeAlarms", ())]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}

    async def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """One call.

        Raises:
            QueryRejected, SourceUnreachable: as ``statistics``.
        """
        with telling(QueryRejected, SourceUnreachable, f"source {self._name}"):
            return await self._services.ask(self._place, "cloudwatch", operation, **arguments)

    async def _read(
        self, part: Sequence[Statistic], found: dict[Statistic, dict[datetime, float]], start: datetime, end: datetime
    ) -> None:
        period = self._source.scrape
        queries = [_query(f"q{at}", statistic, period) for at, statistic in enumerate(part)]
        # A point bears the beginning of its period.
        asked = {"StartTime": _floor(start, period) - period, "EndTime": end, "ScanBy": "TimestampAscending"}
        token: dict[str, str] = {}
        while True:
            told = await self.ask("get_metric_data", MetricDataQueries=queries, **asked, **token)
            for result in told["MetricDataResults"]:
                if result.get("StatusCode") not in (None, "Complete", "PartialData"):
                    said = "; ".join(message.get("Value", "") for message in result.get("Messages", ()))
                    raise NoCounts(f"partial: CloudWatch answered {result['StatusCode']} {said}".rstrip())
                points = found[part[int(result["Id"][1:])]]
                for moment, value in zip(result["Timestamps"], result["Values"], strict=True):
                    ended = moment.astimezone(UTC) + period
                    if start < ended <= end:
                        points[ended] = float(value)
            if not told.get("NextToken"):
                if any(result.get("StatusCode") == "PartialData" for result in told["MetricDataResults"]):
                    raise NoCounts("partial: CloudWatch has answered a part of the data points only")
                return
            token = {"NextToken": told["NextToken"]}

    async def _listed(self, series: Series) -> list[tuple[tuple[str, str], ...]]:
        exact = [
            {"Name": one.label, "Value": one.value} if one.operator == "=" else {"Name": one.label}
            for one in series.dimensions
        ]
        wanted: dict[str, Any] = {"Namespace": series.namespace, "MetricName": series.name, "Dimensions": exact}
        found: list[tuple[tuple[str, str], ...]] = []
        token: dict[str, str] = {}
        while True:
            told = await self.ask("list_metrics", **wanted, **token)
            for metric in told["Metrics"]:
                labels = {one["Name"]: one["Value"] for one in metric.get("Dimensions", ())}
                if len(labels) == len(series.dimensions) and all(one.accepts(labels) for one in series.dimensions):
                    found.append(tuple((one.label, labels[one.label]) for one in series.dimensions))
            if len(found) > MOST_LISTED:
                raise QueryRejected(
                    f"source {self._name}: {series.name} matches over {MOST_LISTED} metrics: name fewer"
                )
            if not told.get("NextToken"):
                break
            token = {"NextToken": told["NextToken"]}
        # One metric may be told on two pages.
        return found


def _named_by(series: Series, beside: Iterable[Statistic]) -> list[tuple[tuple[str, str], ...]]:
    """Dimensions of other metrics of the namespace that a selector would match."""
    labels = [dict(one.dimensions) for one in beside if one.namespace == series.namespace]
    wanted = {one.label for one in series.dimensions}
    return [
        tuple((one.label, found[one.label]) for one in series.dimensions)
        for found in labels
        if found.keys() == wanted and all(one.accepts(found) for one in series.dimensions)
    ]


def _query(name: str, statistic: Statistic, period: timedelta) -> dict[str, Any]:
    dimensions = [{"Name": label, "Value": value} for label, value in statistic.dimensions]
    metric = {"Namespace": statistic.namespace, "MetricName": statistic.name, "Dimensions": dimensions}
    asked = {"Metric": metric, "Period": int(period.total_seconds()), "Stat": statistic.stat}
    return {"Id": name, "MetricStat": asked, "ReturnData": True}


def _floor(moment: datetime, period: timedelta) -> datetime:
    seconds = int(period.total_seconds())
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, UTC)
