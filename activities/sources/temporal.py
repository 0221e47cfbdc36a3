"""Exact counts of a worker deployment's builds, from Temporal's visibility: what closed, how, and after how long.

Every count is one ``CountWorkflowExecutions``. A workflow is of the build that completed its last task, and of the
window it closed in. Measured behaviour this rests on: docs/temporal-workers.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.workflowservice.v1 import CountWorkflowExecutionsRequest, DescribeWorkerDeploymentVersionRequest
from temporalio.client import Client

from activities.sources.each_arm import NoCounts, each_arm
from activities.sources.settled import unsettled
from activities.temporal_services import Place, TemporalServices, ask
from coalmine.errors import CoalmineError, InputError, QueryRejected, SourceUnreachable
from coalmine.records import ArmCounts, Check, CollectRequest, MetricCounts, Window
from coalmine.spec.canary import Arm, ArmName, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source

BOUNDS = tuple(timedelta(seconds=seconds) for seconds in (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600))
"""Of latencies, where the source names none."""
CLOSED = "ExecutionStatus != 'Running' AND ExecutionStatus != 'ContinuedAsNew'"
"""A run that continues as new has not come to its end."""
FAILED = "ExecutionStatus IN ('Failed', 'TimedOut')"
AT_ONCE = 4
"""Questions at a time: Temporal Cloud answers thirty a second in a namespace, to everybody."""
LOOKED_BACK = timedelta(hours=1)
"""How far a check looks."""


class TemporalSource:
    """Workflows by the build of their worker."""

    def __init__(self) -> None:
        self._services = TemporalServices()

    async def collect(self, source: Source, metric: Metric, request: CollectRequest) -> MetricCounts:
        """Counts of what closed in the window for the arms, or ``no_data`` with its reason.

        Raises:
            SourceUnreachable: Temporal did not answer in time.
            QueryRejected: it refused the list filter.
        """
        if reason := unsettled(source, request.window):
            return MetricCounts(metric=metric.name, status="no_data", reason=reason)
        visibility = Visibility(await self._client(source), source)
        seconds = (request.window.end - request.window.start).total_seconds()
        if metric.kind == "threshold":
            text = _filled(metric.query or "", request.arms.canary)
            value = float(await visibility.count(text))
            return MetricCounts(metric=metric.name, value=value, queries=visibility.asked, seconds=seconds)
        bounds = _bounds(source, metric) if metric.kind == "latency" else []

        def read(name: ArmName) -> Awaitable[ArmCounts]:
            return _arm(visibility, metric, getattr(request.arms, name), request.window, bounds)

        try:
            counts = await each_arm(read, request)
        except NoCounts as error:
            return MetricCounts(metric=metric.name, status="no_data", reason=str(error))
        return MetricCounts(
            metric=metric.name,
            baseline=counts.get("baseline"),
            canary=counts["canary"],
            bounds=[bound.total_seconds() for bound in bounds] if metric.kind == "latency" else None,
            queries=sorted(visibility.asked),
            seconds=seconds,
        )

    async def check(self, source: Source, metric: Metric, arms: Arms) -> list[Check]:
        """How many workflows of either build closed in the last hour."""
        end = datetime.now(UTC) - source.flush
        window = Window(start=end - LOOKED_BACK, end=end)
        try:
            visibility = Visibility(await self._client(source), source)
            if metric.kind == "threshold":
                matching = await visibility.count(_filled(metric.query or "", arms.canary))
                return [Check(ok=True, name=metric.name, reason=f"{matching} workflows match the list filter now")]
        except CoalmineError as error:
            return [Check(ok=False, name=f"source {metric.source}", reason=str(error))]
        return [
            await _check_arm(visibility, metric, name, getattr(arms, name), window) for name in ("baseline", "canary")
        ]

    async def _client(self, source: Source) -> Client:
        try:
            return await self._services.client(Place(source.address, source.namespace, source.profile))
        except InputError as error:
            raise QueryRejected(str(error)) from error
        except CoalmineError as error:
            raise SourceUnreachable(str(error)) from error


class Visibility:
    """Counting questions to one namespace, a few at a time."""

    def __init__(self, client: Client, source: Source) -> None:
        self._client = client
        self._source = source
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.asked: list[str] = []

    async def count(self, *filters: str) -> int:
        """How many workflows match all of the filters.

        Raises:
            SourceUnreachable, QueryRejected: as ``collect``.
        """
        text = " AND ".join(f"({one})" if " OR " in one.upper() else one for one in filters)
        self.asked.append(text)
        request = CountWorkflowExecutionsRequest(namespace=self._client.namespace, query=text)
        async with self._turns:
            answer = await ask(
                self._client.workflow_service.count_workflow_executions,
                request,
                refused=QueryRejected,
                unreachable=SourceUnreachable,
                within=self._source.timeout,
            )
        return answer.count

    async def of_build(self, arm: Arm, window: Window, *filters: str) -> int:
        """How many of the arm's workflows that closed in the window match."""
        deployment = self._source.deployment
        return await self.count(
            f"TemporalWorkerDeploymentVersion = '{deployment}:{arm.backend}'",
            f"CloseTime > '{_moment(window.start)}'",
            f"CloseTime <= '{_moment(window.end)}'",
            CLOSED,
            *filters,
        )

    async def require(self, arm: Arm) -> None:
        """Make sure that there is such a build: a misspelt one would count nothing for ever.

        Raises:
            NoCounts: there is none.
        """
        version = WorkerDeploymentVersion(deployment_name=self._source.deployment or "", build_id=arm.backend)
        request = DescribeWorkerDeploymentVersionRequest(namespace=self._client.namespace, deployment_version=version)
        call = self._client.workflow_service.describe_worker_deployment_version
        try:
            await ask(call, request, refused=NoBuildRefused, unreachable=SourceUnreachable, within=self._source.timeout)
        except NoBuildRefused as error:
            raise NoCounts(f"deployment {self._source.deployment!r} has no build {arm.backend!r} ({error})") from error


class NoBuildRefused(QueryRejected):
    """Raised when the server knows no such build."""


async def _arm(
    visibility: Visibility, metric: Metric, arm: Arm, window: Window, bounds: Sequence[timedelta]
) -> ArmCounts:
    total = _own(metric.total, arm)
    if metric.kind == "latency":
        scope = _own(metric.buckets, arm)
        limits = [f"ExecutionDuration <= {round(bound / timedelta(microseconds=1)) * 1000}" for bound in bounds]
        *cumulative, whole = await asyncio.gather(
            *(visibility.of_build(arm, window, *scope, limit) for limit in limits),
            visibility.of_build(arm, window, *scope),
        )
        buckets = [now - below for below, now in pairwise([0, *cumulative, whole])]
        if any(bucket < 0 for bucket in buckets):
            raise SourceUnreachable(f"visibility still changes: {[*cumulative, whole]} workflows up to each bound")
        counts = ArmCounts(total=whole, buckets=buckets)
    elif metric.kind == "count":
        counts = ArmCounts(events=await visibility.of_build(arm, window, *(_own(metric.events, arm) or [FAILED])))
    else:
        events, whole = await asyncio.gather(
            visibility.of_build(arm, window, *total, *(_own(metric.events, arm) or [FAILED])),
            visibility.of_build(arm, window, *total),
        )
        counts = ArmCounts(total=whole, events=events)
    if not counts.total and not counts.events:
        await visibility.require(arm)
    return counts


async def _check_arm(visibility: Visibility, metric: Metric, name: ArmName, arm: Arm, window: Window) -> Check:
    try:
        await visibility.require(arm)
        scope = [*_own(metric.total, arm), *_own(metric.buckets, arm)]
        closed = await visibility.of_build(arm, window, *scope)
        failed = await visibility.of_build(arm, window, *scope, *(_own(metric.events, arm) or [FAILED]))
    except (CoalmineError, NoCounts) as error:
        return Check(ok=False, name=f"{metric.name} {name}", reason=str(error))
    told = f"{closed} workflows of build {arm.backend} closed in the last hour, {failed} of them with an event"
    return Check(ok=True, name=f"{metric.name} {name}", reason=told)


def _bounds(source: Source, metric: Metric) -> list[timedelta]:
    """The source's bounds, and the objective's, which is then counted exactly."""
    own = set(source.bounds or BOUNDS)
    return sorted(own | ({metric.objective.under} if metric.objective is not None else set()))


def _own(selectors: str | list[str] | None, arm: Arm) -> list[str]:
    texts = [selectors] if isinstance(selectors, str) else selectors or []
    return [_filled(text, arm) for text in texts]


def _filled(text: str, arm: Arm) -> str:
    return text.replace("{arm.version}", arm.version).replace("{arm.backend}", arm.backend)


def _moment(moment: datetime) -> str:
    """As a list filter takes it, to the microsecond, which is what SQL stores keep."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
