"""What activities did, counted by rollout in the worker's own metrics (docs/observability.md).

An interceptor, so that no activity counts by itself; without an endpoint for metrics it costs nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.common import MetricMeter
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.log_lines import rollout_fields
from coalmine.records import COLLECT, EVALUATE, NOTIFY, RUN_HOOK, SHIFT, WRITE_LEDGER

PLACES = ("environment", "service", "region")
"""Labels of every metric that is about a rollout; never its version or number, which are without end."""
BUCKETS: Mapping[str, tuple[float, ...]] = {
    "coalmine_route_write": (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    "coalmine_restore": (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800),
    "coalmine_ledger_lag": (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600),
}
"""Seconds, of our own histograms: the SDK's end at 10 s."""


class RolloutMetrics(Interceptor):
    """Counts routes written, looks, windows of metrics, entries of the ledger, messages and hooks."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """See the SDK's ``Interceptor``."""
        return _Measuring(super().intercept_activity(next))


@dataclass(frozen=True)
class Ran:
    """One attempt of an activity: what it was asked, what it answered (None: nothing), and how it ended."""

    request: Any
    answer: Any
    result: str
    """``done``, the type of its error, or ``cancelled``."""
    took: timedelta
    labels: Mapping[str, str]
    meter: MetricMeter

    def count(self, name: str, description: str, **labels: str) -> None:
        """Add one."""
        self.meter.create_counter(name, description).add(1, {**self.labels, **labels})

    def record(self, name: str, description: str, value: timedelta, **labels: str) -> None:
        """Put a duration into its histogram."""
        histogram = self.meter.create_histogram_timedelta(name, description)
        histogram.record(max(value, timedelta(0)), {**self.labels, **labels})


class _Measuring(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        tell = _TELLERS.get(info.activity_type)
        if tell is None or not input.args:
            return await super().execute_activity(input)
        request, began = input.args[0], time.monotonic()
        answer, result = None, "done"
        try:
            answer = await super().execute_activity(input)
            return answer
        except BaseException as error:
            result = _named(error)
            raise
        finally:
            fields = rollout_fields(request, info.workflow_id or "")
            labels = {name: str(fields.get(name) or "") for name in PLACES}
            took = timedelta(seconds=time.monotonic() - began)
            tell(Ran(request, answer, result, took, labels, activity.metric_meter()))


def _named(error: BaseException) -> str:
    if isinstance(error, ApplicationError):
        return error.type or "ApplicationError"
    return "cancelled" if isinstance(error, asyncio.CancelledError | CancelledError) else type(error).__name__


def _shift(ran: Ran) -> None:
    about = {"router": ran.request.route.router, "restoring": str(ran.request.restoring).lower()}
    ran.count("coalmine_route_writes", "Writes of a route, by how they ended", **about, result=ran.result)
    if ran.answer is not None:
        ran.record("coalmine_route_write", "From asking until every proxy shows it", ran.took, **about)


def _collect(ran: Ran) -> None:
    for counts in ran.answer.metrics if ran.answer is not None else ():
        told = {"metric": counts.metric, "status": counts.status}
        ran.count("coalmine_metric_windows", "Windows of a metric that were collected, by what came", **told)


def _evaluate(ran: Ran) -> None:
    if ran.answer is not None:
        told = {"stage": ran.request.stage, "finding": str(ran.answer.finding)}
        ran.count("coalmine_looks", "Looks that were judged, by what was found", **told)


def _write_ledger(ran: Ran) -> None:
    ran.count("coalmine_ledger_writes", "Writes of the ledger, by how they ended", result=ran.result)
    oldest = min((entry.at for entry in ran.request.entries), default=None)
    if oldest is not None:
        lag = datetime.now(UTC) - oldest
        ran.record("coalmine_ledger_lag", "Age of the oldest entry of a write when it ended", lag)


def _notify(ran: Ran) -> None:
    severity = ran.request.notification.severity
    ran.count("coalmine_messages", "Messages to people, by how sending ended", severity=severity, result=ran.result)


def _run_hook(ran: Ran) -> None:
    ran.count("coalmine_hooks", "Calls of hooks, by how they ended", hook=str(ran.request.hook), result=ran.result)


_TELLERS: Mapping[str, Callable[[Ran], None]] = {
    SHIFT.name: _shift,
    COLLECT.name: _collect,
    EVALUATE.name: _evaluate,
    WRITE_LEDGER.name: _write_ledger,
    NOTIFY.name: _notify,
    RUN_HOOK.name: _run_hook,
}
