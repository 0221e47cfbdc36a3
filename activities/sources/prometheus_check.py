"""What ``validate --connect`` asks Prometheus before a rollout does."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median

from activities.sources.each_arm import NATURAL, NoCounts
from activities.sources.prometheus_answer import Answer
from activities.sources.prometheus_arms import ArmTally, milliseconds_in, part_selectors, tally_arm
from activities.sources.prometheus_http import PrometheusHttp
from activities.sources.prometheus_marks import read_samples
from activities.sources.prometheus_query import ask_threshold
from activities.sources.prometheus_values import ArmValues, read_values
from coalmine.errors import SourceError
from coalmine.records import Check, Window
from coalmine.spec.canary import ArmName, Arms
from coalmine.spec.durations import format_duration
from coalmine.spec.metrics import Metric
from coalmine.spec.templates import PARTS

MOST_SKEW = 1.0
"""Seconds the worker's clock and the store's may differ: windows are cut by the one in samples of the other."""
_ARM_NAMES: tuple[ArmName, ...] = ("baseline", "canary")


async def check_metric(http: PrometheusHttp, metric: Metric, arms: Arms) -> list[Check]:
    """Every check of one metric, in the order people mend them; an unreachable store ends them."""
    name = f"source {metric.source}"
    try:
        clock = await http.query("time()")
        moment = clock.number()
    except SourceError as error:
        return [Check(ok=False, name=name, reason=str(error))]
    checks = [Check(ok=True, name=name, reason=f"{http.login.shown_url} answers"), _check_clock(name, clock)]
    scrape = milliseconds_in(http.source.scrape)
    now = datetime.fromtimestamp(moment, UTC)
    end = now - http.source.scrape - http.source.flush
    window = Window(start=end - max(timedelta(minutes=1), 10 * http.source.scrape), end=end)
    if metric.kind == "threshold":
        return [*checks, await _check_query(http, metric, arms, window)]
    read: Callable[..., Awaitable[ArmValues | ArmTally]] = read_values if metric.kind == "value" else tally_arm
    outcomes = await asyncio.gather(
        *(read(http, metric, getattr(arms, arm), arm, window) for arm in _ARM_NAMES), return_exceptions=True
    )
    tallies: dict[ArmName, ArmTally] = {}
    for arm, outcome in zip(_ARM_NAMES, outcomes, strict=True):
        label = f"{metric.name}: {arm}"
        if isinstance(outcome, NoCounts):
            waiting = arm == "canary" and str(outcome).startswith("empty")
            note = NATURAL if waiting else ""
            checks.append(Check(ok=waiting, name=label, reason=f"{outcome}{note}"))
        elif isinstance(outcome, SourceError):
            checks.append(Check(ok=False, name=label, reason=str(outcome)))
        elif isinstance(outcome, BaseException):
            raise outcome
        elif isinstance(outcome, ArmValues):
            checks.append(Check(ok=True, name=label, reason=_describe_values(metric, outcome)))
        else:
            tallies[arm] = outcome
            checks.append(Check(ok=True, name=label, reason=_describe(metric, outcome, window)))
    if not all(isinstance(outcome, SourceError) for outcome in outcomes):
        checks.append(await _check_scrape(http, metric, arms, now, scrape))
    if metric.kind == "latency" and tallies:
        checks += _check_bounds(metric, tallies)
    return checks


def _check_clock(name: str, clock: Answer) -> Check:
    away = abs(clock.number() - (clock.sent_at + clock.received_at) / 2)
    sure = max(0.0, away - (clock.received_at - clock.sent_at) / 2)
    reason = f"clocks are {away:.3f} s apart"
    if sure > MOST_SKEW:
        reason += f", more than {MOST_SKEW:g} s: windows would be cut in the wrong place; run NTP on both hosts"
    return Check(ok=sure <= MOST_SKEW, name=f"{name}: clock", reason=reason)


def _describe(metric: Metric, arm: ArmTally, window: Window) -> str:
    seconds = (window.end - window.start).total_seconds()
    if metric.kind == "latency":
        total = arm.parts["buckets"].counted[math.inf]
        return f"{total / seconds:.3g} requests/s in the last {seconds:g} s"
    if "total" not in arm.parts:
        return f"{arm.parts['events'].counted.get('', 0)} events in the last {seconds:g} s"
    total = arm.parts["total"].counted.get("", 0)
    events = arm.parts["events"].counted.get("", 0)
    born = "" if arm.parts["events"].counted else " (no series for events yet: counted as 0)"
    return f"{total / seconds:.3g} requests/s and {events} events in the last {seconds:g} s{born}"


def _describe_values(metric: Metric, arm: ArmValues) -> str:
    mean = math.fsum(arm.values) / len(arm.values)
    unit = f" {metric.suffix}" if metric.suffix else ""
    instances = "1 instance" if len(arm.values) == 1 else f"{len(arm.values)} instances"
    return f"{instances}, on average {mean:.4g}{unit}" + "".join(f"; {text}" for text in arm.warnings)


async def _check_query(http: PrometheusHttp, metric: Metric, arms: Arms, window: Window) -> Check:
    name = f"{metric.name}: canary"
    try:
        found = await ask_threshold(http, metric, arms.canary, window)
    except NoCounts as error:
        waiting = str(error).startswith("empty")
        return Check(ok=waiting, name=name, reason=f"{error}{NATURAL if waiting else ''}")
    except SourceError as error:
        return Check(ok=False, name=name, reason=str(error))
    unit = f" {metric.suffix}" if metric.suffix else ""
    return Check(ok=True, name=name, reason=f"the query answers {found.value:.6g}{unit}")


async def _check_scrape(http: PrometheusHttp, metric: Metric, arms: Arms, now: datetime, scrape: int) -> Check:
    name = f"{metric.name}: scrape interval"
    until = round(now.timestamp() * 1000)
    part = PARTS[metric.kind][0]
    gaps: list[int] = []
    # Five minutes hold enough scrapes to measure intervals that are far longer than the one that was set.
    since = until - max(300_000, 20 * scrape)
    try:
        selectors = [selector for arm in _ARM_NAMES for selector in part_selectors(metric, part, getattr(arms, arm))[0]]
        read = await read_samples(http, selectors, since, until, scrape)
    except SourceError as error:
        return Check(ok=False, name=name, reason=str(error))
    for samples in read.series.values():
        gaps += [later[0] - earlier[0] for earlier, later in pairwise(samples)]
    if not gaps:
        return Check(ok=False, name=name, reason="fewer than two samples in five minutes: is the target scraped?")
    measured = timedelta(milliseconds=median(gaps))
    said = http.source.scrape
    reason = f"measured {format_duration(measured)}, sources.{metric.source}.scrape is {format_duration(said)}"
    if measured > said * 1.1:
        return Check(ok=False, name=name, reason=f"{reason}: set it to what is measured, or windows close too early")
    if measured < said * 0.5:
        reason += ": windows wait longer than they need"
    return Check(ok=True, name=name, reason=reason)


def _check_bounds(metric: Metric, tallies: Mapping[ArmName, ArmTally]) -> list[Check]:
    checks: list[Check] = []
    bounds = {
        arm: {
            bound / (1000 if tally.unit == "ms" else 1)
            for bound in tally.parts["buckets"].counted
            if isinstance(bound, float) and bound < math.inf
        }
        for arm, tally in tallies.items()
    }
    shared = set.intersection(*bounds.values())
    if len(bounds) == 2:
        name = f"{metric.name}: bounds"
        if not shared:
            checks.append(Check(ok=False, name=name, reason="the arms have no bucket bound in common"))
        elif bounds["baseline"] == bounds["canary"]:
            checks.append(Check(ok=True, name=name, reason=f"{len(shared)} bounds, equal for both arms"))
        else:
            only = ", ".join(f"{bound:g}" for bound in sorted(set.union(*bounds.values()) - shared))
            checks.append(Check(ok=True, name=name, reason=f"{len(shared)} in common; merged away (in s): {only}"))
    if metric.objective is not None:
        under = metric.objective.under.total_seconds()
        near = sorted(sorted(shared, key=lambda bound: abs(bound - under))[:3])
        found = any(math.isclose(bound, under, rel_tol=1e-9) for bound in shared)
        reason = f"{under:g} s is a bucket bound"
        if not found:
            shown = ", ".join(f"{bound:g} s" for bound in near) or "none"
            reason = f"{under:g} s is no bucket bound (nearest: {shown}): add it to the histogram or move `under`"
        checks.append(Check(ok=found, name=f"{metric.name}: objective", reason=reason))
    return checks
