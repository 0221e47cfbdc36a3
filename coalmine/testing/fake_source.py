"""A metric source whose counts a test writes down: for tests of workflows, policies and adapters' users.

The counts are a function of the arm, the metric and the window, so windows tile and a retry sees the same numbers, as
the contract wants of a real store.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from coalmine.errors import CoalmineError, SourceUnreachable
from coalmine.records import ArmCounts, Check, CollectRequest, MetricCounts, Window
from coalmine.spec.canary import ArmName, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Traffic:
    """A steady flow: requests per second, the share that fails, and the share in each latency bucket.

    ``buckets`` are shares (not cumulative, the last is +Inf) that sum to 1, one more than the source's ``bounds``.
    """

    rate: float
    errors: float = 0.0
    buckets: Sequence[float] = (1.0,)
    value: float = 1.0
    """What its gauges show, and what a threshold's query answers."""


class Script(Protocol):
    """What an arm counted in a window, or the reason in words why that is not known."""

    def __call__(self, arm: ArmName, metric: Metric, window: Window) -> ArmCounts | str: ...


class Flows:
    """A script of steady flows that change at given moments; counts are whole, tile, and need no random numbers."""

    def __init__(self, baseline: Traffic, canary: Traffic, since: datetime = _EPOCH) -> None:
        self._changes: dict[ArmName, list[tuple[datetime, Traffic]]] = {
            "baseline": [(since, baseline)],
            "canary": [(since, canary)],
        }

    def change(self, arm: ArmName, at: datetime, traffic: Traffic) -> None:
        """From ``at`` on the arm's flow is another one."""
        self._changes[arm].append((at, traffic))
        self._changes[arm].sort(key=lambda change: change[0])

    def __call__(self, arm: ArmName, metric: Metric, window: Window) -> ArmCounts:
        if metric.kind in ("value", "threshold"):
            return ArmCounts(values=[self._at(arm, window.end).value])
        if metric.kind == "count":
            return ArmCounts(events=self._counted(arm, window, lambda flow: flow.rate * flow.errors))
        if metric.kind in ("ratio", "slo"):
            total = self._counted(arm, window, lambda flow: flow.rate)
            events = self._counted(arm, window, lambda flow: flow.rate * flow.errors)
            return ArmCounts(total=total, events=min(events, total))
        widths = {len(flow.buckets) for _, flow in self._changes[arm]}
        buckets = [self._counted(arm, window, partial(_bucket_rate, index)) for index in range(max(widths))]
        return ArmCounts(total=sum(buckets), buckets=buckets)

    def _at(self, arm: ArmName, moment: datetime) -> Traffic:
        return [flow for at, flow in self._changes[arm] if at <= moment][-1]

    def _counted(self, arm: ArmName, window: Window, rate: Callable[[Traffic], float]) -> int:
        return self._until(arm, window.end, rate) - self._until(arm, window.start, rate)

    def _until(self, arm: ArmName, moment: datetime, rate: Callable[[Traffic], float]) -> int:
        changes = self._changes[arm]
        ends = [at for at, _ in changes[1:]] + [moment]
        flowed = math.fsum(
            max(0.0, (min(end, moment) - at).total_seconds()) * rate(flow)
            for (at, flow), end in zip(changes, ends, strict=True)
        )
        # A hair above, so that 0.1 * 30 is 3 and not 2.9999999999999996 cut to 2.
        return math.floor(flowed + 1e-6)


def _bucket_rate(index: int, flow: Traffic) -> float:
    return flow.rate * flow.buckets[index] if index < len(flow.buckets) else 0.0


class FakeSource:
    """A MetricSource that answers from a script, with outages and a clock of the test's own."""

    def __init__(
        self,
        script: Script,
        *,
        bounds: Sequence[float] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``bounds`` are the upper bucket bounds in seconds, without +Inf; ``clock`` is the store's now."""
        self.script = script
        self.bounds = list(bounds)
        self.clock = clock
        self.requests: list[CollectRequest] = []
        self._outages: list[tuple[datetime, datetime, CoalmineError | None]] = []
        self._lost: list[tuple[Window, frozenset[ArmName], str]] = []

    def fail(self, start: datetime, end: datetime, error: CoalmineError | None = None) -> None:
        """Between two moments of the clock every call raises ``error`` (default: SourceUnreachable)."""
        self._outages.append((start, end, error or SourceUnreachable("the fake source is in an outage")))

    def hang(self, start: datetime, end: datetime) -> None:
        """Between two moments of the clock no call returns."""
        self._outages.append((start, end, None))

    def lose(self, window: Window, reason: str = "stale", arms: Sequence[ArmName] = ("baseline", "canary")) -> None:
        """Windows that end within ``window`` have no data for ``arms``; a longer window catches up."""
        self._lost.append((window, frozenset(arms), reason))

    async def collect(self, source: Source, metric: Metric, request: CollectRequest) -> MetricCounts:
        """Counts as the script has them."""
        self.requests.append(request)
        await self._suffer()
        both = request.compare and metric.kind != "threshold"
        names: tuple[ArmName, ...] = ("baseline", "canary") if both else ("canary",)
        counts: dict[str, ArmCounts] = {}
        reasons: list[str] = []
        for name in names:
            found = self._count(name, metric, request.window)
            if isinstance(found, str):
                reasons.append(f"{name}: {found}")
            else:
                counts[name] = found
        if reasons:
            return MetricCounts(metric=metric.name, status="no_data", reason="; ".join(reasons))
        queries, seconds = [f"fake {metric.name}"], (request.window.end - request.window.start).total_seconds()
        if metric.kind == "threshold":
            values = counts["canary"].values
            value = values[0] if values else None
            return MetricCounts(metric=metric.name, value=value, queries=queries, seconds=seconds)
        return MetricCounts(
            metric=metric.name,
            baseline=counts.get("baseline"),
            canary=counts.get("canary"),
            bounds=list(self.bounds) if metric.kind == "latency" else None,
            queries=queries,
            seconds=seconds,
        )

    async def check(self, source: Source, metric: Metric, arms: Arms) -> list[Check]:
        """One check: whether the source is in an outage now."""
        try:
            await self._suffer()
        except CoalmineError as error:
            return [Check(ok=False, name=f"source {metric.source}", reason=str(error))]
        return [Check(ok=True, name=f"source {metric.source}", reason="the fake source answers")]

    def _count(self, arm: ArmName, metric: Metric, window: Window) -> ArmCounts | str:
        if window.end > self.clock():
            return "partial: the window has not ended yet"
        for lost, arms, reason in self._lost:
            if arm in arms and lost.start < window.end <= lost.end:
                return reason
        found = self.script(arm, metric, window)
        if isinstance(found, ArmCounts) and metric.kind == "latency":
            wanted = len(self.bounds) + 1
            if found.buckets is None or len(found.buckets) != wanted:
                raise ValueError(f"the script gives {found.buckets} for {metric.name}: {wanted} buckets are needed")
        return found

    async def _suffer(self) -> None:
        now = self.clock()
        for start, end, error in self._outages:
            if start <= now < end:
                if error is not None:
                    raise error
                await asyncio.Event().wait()


def latency_shares(bounds: Sequence[float], median: float, spread: float = 0.5) -> list[float]:
    """Shares per bucket of a log-normal latency with this median (seconds) and sigma; for ``Traffic.buckets``."""
    below = [0.5 * (1 + math.erf(math.log(bound / median) / (spread * math.sqrt(2)))) for bound in bounds]
    return [now - before for now, before in zip([*below, 1.0], [0.0, *below], strict=True)]


def fake_sources(source: FakeSource) -> Mapping[str, FakeSource]:
    """The fake in place of every kind of store a spec can name."""
    return {"prometheus": source}
