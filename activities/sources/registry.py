"""Metric stores by name: those built in, and those other distributions bring by entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from activities.sources.base import MetricSource
from coalmine.errors import UnknownAdapter

GROUP = "coalmine.sources"
"""Entry points of this group name a callable without arguments that returns a MetricSource."""


def _prometheus() -> MetricSource:
    from activities.sources.prometheus import PrometheusSource

    return PrometheusSource()


def _cloudwatch() -> MetricSource:
    from activities.sources.cloudwatch import CloudwatchSource

    return CloudwatchSource()


def _http() -> MetricSource:
    from activities.sources.http_json import HttpSource

    return HttpSource()


def _temporal() -> MetricSource:
    from activities.sources.temporal import TemporalSource

    return TemporalSource()


def _sql() -> MetricSource:
    from activities.sources.sql import SqlSource

    return SqlSource()


BUILT_IN: dict[str, Callable[[], MetricSource]] = {
    "cloudwatch": _cloudwatch,
    "http": _http,
    "prometheus": _prometheus,
    "sql": _sql,
    "temporal": _temporal,
}


def source_kinds() -> list[str]:
    """All kinds that can be used here, sorted."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))})


def make_source(kind: str) -> MetricSource:
    """A metric source of this kind.

    Raises:
        UnknownAdapter: nobody registered it; lists those that are.
    """
    if kind in BUILT_IN:
        return BUILT_IN[kind]()
    for entry in entry_points(group=GROUP):
        if entry.name == kind:
            made: MetricSource = entry.load()()
            return made
    raise UnknownAdapter(f"source kind {kind!r} is not known; known are {', '.join(source_kinds())}")
