"""What ``doctor`` says of a spec: its route can be reached, read and written, and what its metrics have now.

Nothing is written: the router says what each step would need, and rehearses the write where it can.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from activities.routers.base import Router
from activities.routers.registry import Routers
from activities.sources.registry import make_source
from coalmine.errors import CoalmineError
from coalmine.ownership import weights_text
from coalmine.records import DRY_RUN, NO_DRY_RUN, Check, CollectRequest, MetricCounts, Record, Weights, Window
from coalmine.spec.canary import ArmName, CanarySpec
from coalmine.spec.durations import format_duration
from coalmine.spec.metric_rules import COUNTS_REQUESTS
from coalmine.spec.metrics import Metric

UNREHEARSED = "nothing speaks against a write; it was not rehearsed: the first step tells"
WITHIN = 20.0
"""Seconds one question may take."""
SHORTEST = timedelta(minutes=1)
BACK = (timedelta(0), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6))
"""Where data is looked for, newest first, until some is found."""
ARMS: tuple[ArmName, ...] = ("baseline", "canary")


class RouteHealth(Record):
    """What can be done with the route from here, and why not."""

    reached: bool
    read: bool = False
    written: bool = False
    """Every step could be written now, by a dry run; ``reason`` says where there is none."""
    reason: str = ""
    fencing: str = ""
    weights: Weights = {}
    generation: int | None = None
    proxies: int = 0


class DataHealth(Record):
    """What one metric has of one arm. ``age`` is in seconds, of the newest data; None: none within hours."""

    metric: str
    arm: ArmName
    now: bool
    age: float | None = None
    requests_per_second: float | None = None
    """Over the newest window; None for metrics that count no requests."""
    reason: str = ""


class SpecHealth(Record):
    """All of it; ``checks`` are the router's and the stores' own."""

    route: RouteHealth
    metrics: list[DataHealth]
    checks: list[Check]

    def rate(self, arm: ArmName) -> float | None:
        """Requests per second of an arm: the most any metric counted."""
        rates = [one.requests_per_second for one in self.metrics if one.arm == arm and one.now]
        return max((rate for rate in rates if rate is not None), default=None)


async def look_at(spec: CanarySpec, now: datetime | None = None) -> SpecHealth:
    """Ask the world a spec names, all at once; what cannot be had is said, never raised."""
    from coalmine.cli._connect import ask_world

    moment = now or datetime.now(UTC)
    asked = (_data(spec, metric, arm, moment) for metric in spec.metrics for arm in _arms_of(metric))
    route, checks, found = await asyncio.gather(_route(spec), ask_world(spec), asyncio.gather(*asked))
    told = {f"{one.metric}: {one.arm}" for one in found}
    return SpecHealth(route=route, metrics=found, checks=[check for check in checks if check.name not in told])


def _arms_of(metric: Metric) -> tuple[ArmName, ...]:
    return ("canary",) if metric.kind == "threshold" else ARMS


async def _route(spec: CanarySpec) -> RouteHealth:
    backends = [spec.arms.baseline.backend, spec.arms.canary.backend]
    try:
        router = Routers()[spec.route.router]
        fencing = (await router.capabilities(spec.route)).fencing
    except CoalmineError as error:
        return RouteHealth(reached=False, reason=str(error))
    try:
        async with asyncio.timeout(WITHIN):
            shown = await router.read(spec.route, backends)
    except TimeoutError:
        return RouteHealth(reached=False, fencing=fencing, reason=f"no answer within {WITHIN:g} s")
    except CoalmineError as error:
        return RouteHealth(reached=not error.retryable, fencing=fencing, reason=str(error))
    written, told = await _rehearsed(router, spec, backends)
    return RouteHealth(
        reached=True,
        read=True,
        written=written,
        reason=told,
        fencing=fencing,
        weights=shown.weights,
        generation=shown.generation,
        proxies=len(shown.proxies),
    )


async def _rehearsed(router: Router, spec: CanarySpec, backends: Sequence[str]) -> tuple[bool, str]:
    """Whether nothing speaks against a write, and what does, or what could not be rehearsed."""
    try:
        async with asyncio.timeout(WITHIN):
            checks = await router.check(spec.route, backends, [*(step.weight for step in spec.steps), 100.0])
    except TimeoutError:
        return False, f"no answer within {WITHIN:g} s"
    except CoalmineError as error:
        return False, str(error)
    if wrong := [check.reason for check in checks if not check.ok]:
        return False, "; ".join(wrong)
    if any(check.name == DRY_RUN for check in checks):
        return True, "; ".join(check.reason for check in checks if check.name == NO_DRY_RUN)
    return True, "; ".join([check.reason for check in checks if check.name == NO_DRY_RUN] or [UNREHEARSED])


async def _data(spec: CanarySpec, metric: Metric, arm: ArmName, now: datetime) -> DataHealth:
    source = spec.sources[metric.source]
    newest = now - source.scrape - source.flush
    length = max(SHORTEST, 10 * source.scrape)
    first = ""
    for back in BACK:
        end = newest - back
        counts = await _counts(spec, metric, arm, Window(start=end - length, end=end))
        if isinstance(counts, str):
            return DataHealth(metric=metric.name, arm=arm, now=False, reason=counts)
        if counts.status == "ok":
            return DataHealth(
                metric=metric.name,
                arm=arm,
                now=not back,
                age=(now - end).total_seconds(),
                requests_per_second=_rate(metric, counts, length.total_seconds()),
                reason=first,
            )
        first = first or counts.reason
    return DataHealth(metric=metric.name, arm=arm, now=False, reason=first)


async def _counts(spec: CanarySpec, metric: Metric, arm: ArmName, window: Window) -> MetricCounts | str:
    """What the metric has of one arm, alone; a text when its store cannot be asked."""
    source = spec.sources[metric.source]
    # A look without comparison asks for the canary only: the arm that is asked for takes its place.
    arms = spec.arms.model_copy(update={"canary": getattr(spec.arms, arm)})
    request = CollectRequest(window=window, metrics=[metric], arms=arms, sources={metric.source: source}, compare=False)
    try:
        async with asyncio.timeout(WITHIN):
            counts = await make_source(source.kind).collect(source, metric, request)
    except TimeoutError:
        return f"no answer within {WITHIN:g} s"
    except CoalmineError as error:
        return _of_arm(str(error), arm)
    return counts.model_copy(update={"reason": _of_arm(counts.reason, arm)})


def _of_arm(reason: str, arm: ArmName) -> str:
    """The reason of an arm that was asked for in the canary's place, under its own name.

    The name before it goes: whoever shows the reason says the arm. Selectors stay as they are, even where a backend
    is called canary.
    """
    return re.sub(r"\bthe canary\b", f"the {arm}", re.sub(r"^canary: ", "", reason))


def _rate(metric: Metric, counts: MetricCounts, seconds: float) -> float | None:
    if counts.canary is None or metric.kind not in COUNTS_REQUESTS:
        return None
    return counts.canary.total / (counts.seconds or seconds)


def route_lines(health: RouteHealth, name: str) -> list[tuple[bool, str, str]]:
    """Whether it is well, what was asked, what was found: reach, read, write."""
    if not health.reached:
        return [(False, "route reach", f"{name}: {health.reason}")]
    reached = (True, "route reach", f"{name}: answers; {health.fencing} fencing")
    if not health.read:
        return [reached, (False, "route read", health.reason)]
    shown = f"{weights_text(health.weights)}, generation {health.generation}, {health.proxies} proxies"
    rehearsed = health.reason or "every step could be written now (dry run: nothing was)"
    return [reached, (True, "route read", shown), (health.written, "route write", rehearsed)]


def data_line(data: DataHealth) -> str:
    """What one metric has of one arm, in words."""
    if data.age is None:
        return f"no data: {data.reason}"
    rate = "" if data.requests_per_second is None else f", {data.requests_per_second:.3g} requests/s"
    old = format_duration(timedelta(seconds=round(data.age)))
    return f"data now, at most {old} old{rate}" if data.now else f"no data now ({data.reason}); it had some {old} ago"
