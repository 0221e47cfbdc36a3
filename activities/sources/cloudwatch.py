"""CloudWatch: exact counts of windows from data points, by the end of their period (docs/aws.md).

A data point belongs to the window in which its period ends, so windows that tile add up. AWS leaves out periods in
which nothing happened: an arm that has data before a window, beside another arm that has some in it, had no requests
there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from activities.aws_services import AwsServices, shared_services
from activities.sources.cloudwatch_series import CloudwatchReader, Points, Statistic
from activities.sources.each_arm import NoCounts, no_data_check
from activities.sources.increments import NotACount, whole
from coalmine.errors import QueryRejected, SourceError
from coalmine.records import ArmCounts, BurnCounts, Check, CollectRequest, MetricCounts, Window
from coalmine.spec.canary import Arm, ArmName, Arms
from coalmine.spec.cloudwatch import Series, alarms_of, series_of
from coalmine.spec.metrics import Metric
from coalmine.spec.selectors import fill_text
from coalmine.spec.sources import Source
from coalmine.spec.templates import PARTS, metric_query

REMEMBERED = timedelta(hours=3)
"""How far back an arm counts as known: as long as CloudWatch keeps points of less than a minute."""
Found = dict[str, list[list[Statistic]]]
"""By part (``total``, ``events``, ``buckets``): for each metric its statistics."""


@dataclass(frozen=True)
class _Asked:
    """What is asked of one arm."""

    parts: Found
    bounds: tuple[float, ...] = ()

    @property
    def all(self) -> list[Statistic]:
        return [one for metrics in self.parts.values() for metric in metrics for one in metric]

    @property
    def known_by(self) -> list[Statistic]:
        """What every request leaves a trace in."""
        part = next(name for name in ("total", "buckets", "events") if name in self.parts)
        return [metric[0] for metric in self.parts[part]]


class CloudwatchSource:
    """Metrics and alarms of CloudWatch."""

    def __init__(self, services: AwsServices | None = None) -> None:
        self._services = services or shared_services()

    async def collect(self, source: Source, metric: Metric, request: CollectRequest) -> MetricCounts:
        """Exact counts of the window, or ``no_data`` with its reason.

        Raises:
            SourceUnreachable: CloudWatch did not answer in time, or was too busy.
            QueryRejected: CloudWatch, or this adapter, cannot take the query.
        """
        reader = CloudwatchReader(self._services, metric.source, source)
        try:
            if metric.kind == "threshold":
                return await _alarms(reader, metric, request.arms.canary)
            found = await _counts(reader, metric, request)
        except NoCounts as error:
            return MetricCounts(metric=metric.name, status="no_data", reason=str(error))
        found.seconds = (request.window.end - request.window.start).total_seconds()
        return found

    async def check(self, source: Source, metric: Metric, arms: Arms) -> list[Check]:
        """Whether the last minutes hold what looks will need."""
        reader = CloudwatchReader(self._services, metric.source, source)
        name = f"source {metric.source}"
        try:
            await reader.ask("describe_alarms", MaxRecords=1)
            now = datetime.now(UTC)
            end = now - source.scrape - source.flush
            window = Window(start=end - max(timedelta(minutes=10), 10 * source.scrape), end=end)
            request = CollectRequest(window=window, metrics=[metric], arms=arms, sources={metric.source: source})
            counts = await self.collect(source, metric, request)
            checks = [Check(ok=True, name=name, reason=f"CloudWatch answers ({source.region or 'its own region'})")]
            if counts.status == "ok":
                return [*checks, Check(ok=True, name=f"metric {metric.name}", reason=_told(counts, window))]
            checks.append(no_data_check(f"metric {metric.name}", metric.name, counts.reason))
            # Of an arm that is not listed nothing more was asked: the other may have no data either.
            return [*checks, await self._baseline(source, metric, request)] if checks[-1].ok else checks
        except SourceError as error:
            return [Check(ok=False, name=name, reason=str(error))]

    async def _baseline(self, source: Source, metric: Metric, request: CollectRequest) -> Check:
        """What the baseline alone has."""
        name, arm = f"{metric.name}: baseline", request.arms.baseline
        alone = request.model_copy(update={"arms": Arms(baseline=arm, canary=arm), "compare": False})
        counts = await self.collect(source, metric, alone)
        if counts.status == "no_data":
            return Check(ok=False, name=name, reason=counts.reason.removeprefix("canary: "))
        return Check(ok=True, name=name, reason=_told(counts, request.window).removeprefix("canary "))


async def _counts(reader: CloudwatchReader, metric: Metric, request: CollectRequest) -> MetricCounts:
    if metric.kind == "value":
        raise QueryRejected(f"metrics.{metric.name}.kind: CloudWatch keeps no series of each instance: use a ratio")
    if request.window.end > datetime.now(UTC):
        raise NoCounts("the window has not ended")
    names: tuple[ArmName, ...] = ("baseline", "canary") if request.compare else ("canary",)
    asked: dict[ArmName, _Asked] = {}
    empty: list[str] = []
    for name in names:
        try:
            asked[name] = await _asked(reader, metric, getattr(request.arms, name))
        except NoCounts as error:
            empty.append(f"{name}: {error}")
    if empty:
        raise NoCounts("; ".join(empty))
    window = request.window
    burns = sorted({length for burn in metric.slo.burn for length in (burn.long, burn.short)}) if metric.slo else []
    back = max([REMEMBERED, *burns])
    points = await reader.points([one for arm in asked.values() for one in arm.all], window.end - back, window.end)
    _refuse_unknown(asked, points, window)
    counts = {name: _arm(metric, arm, points, window) for name, arm in asked.items()}
    if burns:
        counts["canary"].burn = [
            _burn(_arm(metric, asked["canary"], points, Window(start=window.end - length, end=window.end)), length)
            for length in burns
        ]
    bounds = [bound / (1000 if metric.unit == "ms" else 1) for bound in next(iter(asked.values())).bounds]
    return MetricCounts(
        metric=metric.name,
        baseline=counts.get("baseline"),
        canary=counts.get("canary"),
        bounds=bounds or None,
        queries=[str(one) for arm in asked.values() for one in arm.all],
    )


async def _asked(reader: CloudwatchReader, metric: Metric, arm: Arm) -> _Asked:
    parts: Found = {}
    bounds: set[tuple[float, ...]] = set()
    for part in PARTS[metric.kind]:
        try:
            series: list[Series] = [series_of(one) for one in metric_query(metric, part, arm).selectors]
        except ValueError as error:
            raise QueryRejected(f"metrics.{metric.name}.{part}: {error}") from None
        bounds |= {one.bounds for one in series}
        beside = [statistic for metric_ in parts.get("total", ()) for statistic in metric_]
        parts[part] = [statistics for one in series for statistics in await reader.statistics(one, beside)]
    if len(bounds) > 1:
        raise QueryRejected(f"metrics.{metric.name}.buckets: selectors have different bounds: give all the same le")
    return _Asked(parts, *bounds)


def _refuse_unknown(asked: Mapping[ArmName, _Asked], points: Points, window: Window) -> None:
    """Tell arms that were never seen, and a window that nobody has data in, from one without requests.

    Raises:
        NoCounts: an arm is unknown, or the window is empty for all.
    """
    moments = {name: {at for one in arm.known_by for at in points[one]} for name, arm in asked.items()}
    unknown = [f"{name}: empty: {asked[name].known_by[0]} has no data" for name, seen in moments.items() if not seen]
    if unknown:
        raise NoCounts("; ".join(unknown))
    if not any(window.start < at for seen in moments.values() for at in seen):
        newest = max(at for seen in moments.values() for at in seen)
        who = " and ".join(f"{name}" for name in asked)
        raise NoCounts(f"{who}: no data in this window, the last is of {newest:%H:%M:%S}: none came, or it is late")


def _arm(metric: Metric, asked: _Asked, points: Points, window: Window) -> ArmCounts:
    def added(statistic: Statistic) -> int:
        inside = [value for at, value in points[statistic].items() if window.start < at <= window.end]
        try:
            return sum(whole(repr(value)) for value in inside)
        except NotACount as error:
            raise NoCounts(f"{statistic}: {error}") from None

    sums = {part: [[added(one) for one in metric_] for metric_ in found] for part, found in asked.parts.items()}
    if metric.kind == "latency":
        columns = [sum(column) for column in zip(*sums["buckets"], strict=True)]
        total, within = columns[0], columns[1:]
        if sum(within) > total:
            raise NoCounts(f"partial: {sum(within)} values within bounds, of {total} in all")
        return ArmCounts(total=total, buckets=[*within, total - sum(within)])
    events = sum(one for (one,) in sums["events"])
    if "total" not in sums:
        return ArmCounts(total=0, events=events)
    total = sum(one for (one,) in sums["total"])
    return ArmCounts(total=total, events=min(events, total))


def _burn(counts: ArmCounts, length: timedelta) -> BurnCounts:
    return BurnCounts(seconds=length.total_seconds(), total=counts.total, events=counts.events or 0)


async def _alarms(reader: CloudwatchReader, metric: Metric, arm: Arm) -> MetricCounts:
    """How many of the alarms are in ALARM now: of a moment that is past CloudWatch tells no state."""
    try:
        names = alarms_of(fill_text(metric.query or "", arm))
    except ValueError as error:
        raise QueryRejected(f"metrics.{metric.name}.query: {error}") from None
    states = await reader.alarms(names)
    missing: Sequence[str] = [name for name in names if name not in states]
    if missing:
        raise QueryRejected(f"metrics.{metric.name}.query: there is no alarm {missing[0]!r}: make it, or leave it out")
    unsure = [name for name in names if states[name] == "INSUFFICIENT_DATA"]
    alarmed = sum(states[name] == "ALARM" for name in names)
    if unsure and not alarmed:
        raise NoCounts(f"alarm {unsure[0]!r} has insufficient data")
    return MetricCounts(metric=metric.name, value=float(alarmed), queries=[f"alarm {name}" for name in names])


def _told(counts: MetricCounts, window: Window) -> str:
    if counts.value is not None:
        return f"{counts.value:g} alarms are in ALARM"
    minutes = (window.end - window.start).total_seconds() / 60
    arms = {"baseline": counts.baseline, "canary": counts.canary}
    told = [f"{name} {arm.total or arm.events or 0:,}" for name, arm in arms.items() if arm is not None]
    # CloudWatch tells no metric that has nothing yet from one whose name is wrong.
    sound = all(arm.total and arm.events == 0 for arm in arms.values() if arm is not None)
    return f"{', '.join(told)} in {minutes:g} min{' (no data of events: counted as 0)' if sound else ''}"
