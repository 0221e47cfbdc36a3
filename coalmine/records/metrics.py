"""Counts of one window, and what is asked of a metric store."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, field_serializer, model_serializer

from coalmine.records.base import Record, RolloutContext
from coalmine.records.moments import Moment
from coalmine.records.traffic import Drift, RouteWatch
from coalmine.spec.canary import Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source

LARGEST_COUNT = 2**53
"""Beyond it counts are no longer exact in a double."""


class Window(Record):
    """``(start, end]`` in UTC, fixed by the workflow: a retry collects the very same numbers."""

    start: Moment
    end: Moment


class BurnCounts(Record):
    """Exact counts of one arm over the last ``seconds`` before a window's end, for burn rates."""

    seconds: float
    total: int
    events: int


class _Sparse(Record):
    """Written without its empty fields: counts pass through a history three times a look."""

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None and value != ""}


class ArmCounts(_Sparse):
    """Exact counts of one arm in one window. ``buckets`` are per bucket, not cumulative, the last is +Inf."""

    total: int = 0
    events: int | None = None
    buckets: list[int] | None = None
    values: list[float] | None = None
    """value: one mean over the window for every instance, in the metric's own unit."""
    burn: list[BurnCounts] | None = None
    """slo: the long and short windows of its burn rates, shortest first."""


class MetricCounts(_Sparse):
    """What one metric counted in one window, or why it has nothing to say."""

    metric: str
    status: Literal["ok", "no_data"] = "ok"
    baseline: ArmCounts | None = None
    canary: ArmCounts | None = None
    bounds: list[float] | None = None
    """Upper bucket bounds in seconds, without +Inf, equal for both arms."""
    value: float | None = None
    """threshold: what the query answered at the window's end."""
    seconds: float | None = None
    """Length of the window; None = one look."""
    reason: str = ""
    """For ``no_data``: empty, stale, partial, NaN or unreachable, in a sentence."""
    warnings: list[str] = []
    queries: list[str] = []


class CollectRequest(Record):
    """Collect one window for all metrics. ``arms`` names which arms must answer (the bake has only the canary)."""

    window: Window
    metrics: list[Metric]
    arms: Arms
    sources: dict[str, Source]
    compare: bool = True
    rollout_id: str = ""
    look: int = 0
    context: RolloutContext | None = None
    watch: RouteWatch | None = None
    """Read the route back too, and say so when it shows other weights."""

    @field_serializer("metrics", mode="plain", when_used="json")
    def _short_metrics(self, metrics: list[Metric]) -> list[dict[str, Any]]:
        """Without what is as it is by default: it passes through every look's history."""
        return [metric.model_dump(mode="json", by_alias=True, exclude_defaults=True) for metric in metrics]

    @field_serializer("sources", mode="plain", when_used="json")
    def _short_sources(self, sources: dict[str, Source]) -> dict[str, Any]:
        return {
            name: source.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for name, source in sources.items()
        }


class Collected(_Sparse):
    """The counts of one look."""

    metrics: list[MetricCounts]
    window: Window
    drift: Drift | None = None
    """The route as somebody else left it; None when it is as it has to be, was not asked for or could not be read."""
