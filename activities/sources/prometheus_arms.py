"""What one arm counted in one window: read wide, cut, judged for freshness, summed.

Whatever stands in the way of exact counts is told apart here: empty, stale, partial, NaN.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from activities.sources.each_arm import NoCounts
from activities.sources.increments import Sample
from activities.sources.prometheus_groups import Group, Tally, histogram_groups, plain_groups, tally
from activities.sources.prometheus_http import PrometheusHttp
from activities.sources.prometheus_marks import read_samples
from activities.sources.prometheus_series import Labels, Targets, read_targets, read_values_before
from coalmine.errors import QueryRejected
from coalmine.records import Window, stamped
from coalmine.spec.canary import Arm
from coalmine.spec.metrics import Metric
from coalmine.spec.selectors import Selector
from coalmine.spec.templates import PARTS, Part, metric_query

LOOKBACK = 5
"""Scrapes before the window that are read with it: a series seen there was alive when the window began."""
STALE = 3
"""Scrapes without a sample after which a series has ended."""
COVERED = 1.1
"""Scrapes (and a jitter) the newest sample may be older than the window's end while none after the end tells more."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ArmTally:
    """What an arm counted, by part; ``unit`` is that of the histogram's bounds."""

    parts: Mapping[Part, Tally]
    unit: str
    queries: list[str] = field(default_factory=list)


def milliseconds(moment: datetime) -> int:
    """A moment as Prometheus stamps samples; one without a time zone is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def part_selectors(metric: Metric, part: Part, arm: Arm) -> tuple[tuple[Selector, ...], str]:
    """The selectors of one part as they are asked (a histogram with its count), and the unit of its bounds.

    Raises:
        QueryRejected: the metric has no such selector, or it is none.
    """
    try:
        query = metric_query(metric, part, arm)
    except ValueError as error:
        raise QueryRejected(str(error)) from None
    if part != "buckets":
        return query.selectors, query.unit
    for selector in query.selectors:
        if any(matcher.label == "le" for matcher in selector.matchers):
            raise QueryRejected(f"metrics.{metric.name}.buckets: {selector} picks by le; all buckets are needed")
    with_count = tuple(
        selector.with_names([selector.name, selector.name.removesuffix("_bucket") + "_count"])
        if selector.name.endswith("_bucket")
        else selector
        for selector in query.selectors
    )
    return with_count, query.unit


@dataclass(frozen=True)
class ArmRead:
    """One arm's series in and around one window (milliseconds), grouped by part and fit to be counted."""

    groups: Mapping[Part, Sequence[Group]]
    window: tuple[int, int]
    before: Mapping[Labels, Sequence[Sample]]
    targets: Targets
    unit: str
    queries: list[str]

    def count(self, part: Part, groups: Sequence[Group] | None = None) -> Tally:
        """What a part counted, or some groups of it; a long window is best counted in the store's own threads.

        Raises:
            NoCounts: a sample is no count, or there is nothing to count from.
        """
        family = [group for found in self.groups.values() for group in found]
        return tally(self.groups[part] if groups is None else groups, self.window, self.before, self.targets, family)


async def tally_arm(http: PrometheusHttp, metric: Metric, arm: Arm, name: str, window: Window) -> ArmTally:
    """Count one arm in one window.

    Raises:
        NoCounts: the store has no exact counts for it; the message is the reason.
        SourceUnreachable: the store did not answer in time.
        QueryRejected: the query cannot be used.
    """
    read = await read_arm(http, metric, arm, name, window)
    tallies = {part: await http.run(read.count, part) for part in read.groups}
    return ArmTally(tallies, read.unit, read.queries)


async def read_arm(http: PrometheusHttp, metric: Metric, arm: Arm, name: str, window: Window) -> ArmRead:
    """Read what one arm's counts of one window are made of.

    Raises:
        As ``tally_arm``.
    """
    scrape = milliseconds_in(http.source.scrape)
    start, end = milliseconds(window.start), milliseconds(window.end)
    since = start - LOOKBACK * scrape
    until = end + scrape + milliseconds_in(http.source.flush)
    parts = PARTS[metric.kind]
    asked = {part: part_selectors(metric, part, arm) for part in parts}
    reads = dict(
        zip(
            parts,
            await asyncio.gather(*(read_samples(http, asked[part][0], since, until, scrape) for part in parts)),
            strict=True,
        )
    )
    refuse_partial([warning for read in reads.values() for warning in read.warnings])
    group = histogram_groups if metric.kind == "latency" else plain_groups
    groups = {part: await http.run(group, reads[part].series, end) for part in parts}
    leading = parts[0]
    if not reads[leading].series:
        selectors = ", ".join(map(str, asked[leading][0]))
        raise NoCounts(f"empty: the {name} has no series for {selectors}")
    _refuse_uncovered(reads[leading].series, groups[leading], end, scrape, milliseconds_in(http.source.flush))
    if "events" in parts and "total" in parts:
        _refuse_blind_events(asked["events"][0], asked["total"][0], reads["total"].series, reads["events"].series)
        _refuse_stale_events(
            groups["events"], groups["total"], end - STALE * scrape - milliseconds_in(http.source.flush)
        )
    everything = [group for found in groups.values() for group in found]
    born = [group for group in everything if group.born > start]
    before: dict[Labels, Sequence[Sample]] = {}
    targets = Targets()
    if born:
        earlier = [selector for part in parts for selector in asked[part][0]]
        old, targets = await asyncio.gather(
            read_values_before(http, earlier, since),
            read_targets(
                http,
                [group.target for group in born if group.target is not None],
                min(group.born for group in born) - max(LOOKBACK * scrape, 60_000),
                max(group.born for group in born),
                scrape,
            ),
        )
        refuse_partial([*old.warnings, *targets.warnings])
        before.update(old.series)
    queries = [f"{selector}[{until - since}ms] @ {until / 1000:.3f}" for part in parts for selector in asked[part][0]]
    return ArmRead(groups, (start, end), before, targets, asked[leading][1], queries)


def refuse_partial(warnings: Sequence[str]) -> None:
    """Refuse an answer that the store itself has doubts about.

    Raises:
        NoCounts: there are warnings.
    """
    if warnings:
        raise NoCounts("partial: Prometheus warned: " + "; ".join(dict.fromkeys(warnings)))


def _refuse_uncovered(
    series: Mapping[Labels, Sequence[Sample]], groups: Sequence[Group], end: int, scrape: int, flush: int
) -> None:
    if any(samples and samples[-1][0] > end for samples in series.values()) and groups:
        return
    newest = max((group.lead[-1][0] for group in groups), default=None)
    if newest is None:
        raise NoCounts("empty: the series began after the window")
    refuse_stale(newest, end, scrape, flush)


def refuse_stale(newest: int, end: int, scrape: int, flush: int) -> None:
    """Refuse what says nothing of the window's end; all in milliseconds.

    Raises:
        NoCounts: the newest sample is too old.
    """
    if newest < end - STALE * scrape - flush:
        raise NoCounts(f"stale since {_show_moment(newest)}: the targets are no longer scraped, or expose it no more")
    if newest < end - COVERED * scrape:
        late = (end - newest) / 1000
        raise NoCounts(
            f"partial: the newest sample is {late:g} s older than the window's end; is scrape longer than set?"
        )


def _refuse_stale_events(events: Sequence[Group], total: Sequence[Group], oldest: int) -> None:
    newest = max((group.lead[-1][0] for group in events), default=oldest)
    if newest >= oldest:
        return
    # Errors that ended with the process that counted them are fine; errors counted elsewhere are missing now.
    if not {group.target for group in events} & {group.target for group in total}:
        raise NoCounts(f"stale since {_show_moment(newest)}: the events are no longer scraped while the total is")


def _refuse_blind_events(
    events: Sequence[Selector],
    total: Sequence[Selector],
    total_series: Mapping[Labels, Sequence[Sample]],
    events_series: Mapping[Labels, Sequence[Sample]],
) -> None:
    """Refuse a zero that no event could ever change: a matcher on a label that the total's series do not carry."""
    if events_series:
        return
    names = {selector.name for selector in total}
    carried = {label for labels in total_series for label, _ in labels}
    for selector in events:
        for matcher in selector.matchers:
            if selector.name in names and matcher.label not in carried and not matcher.accepts({}):
                there = ", ".join(sorted(carried - {"__name__"}))
                raise QueryRejected(
                    f"{selector} can never match: no series of {selector.name} carries the label {matcher.label!r} "
                    f"(there are: {there})"
                )


def milliseconds_in(duration: timedelta) -> int:
    """A duration in whole milliseconds."""
    return duration // timedelta(milliseconds=1)


def _show_moment(moment: int) -> str:
    return stamped(_EPOCH + timedelta(milliseconds=moment), "seconds")
