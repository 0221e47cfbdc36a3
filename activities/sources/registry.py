"""Metric stores by name: those built in, and those other distributions bring by entry point."""

from __future__ import annotations

from collections.abc import Callable

from activities.adapters import Adapters, built_in
from activities.sources.base import MetricSource

GROUP = "coalmine.sources"
"""Entry points of this group name a callable without arguments that returns a MetricSource."""

BUILT_IN: dict[str, Callable[[], MetricSource]] = {
    "cloudwatch": built_in("activities.sources.cloudwatch:CloudwatchSource"),
    "http": built_in("activities.sources.http_json:HttpSource"),
    "prometheus": built_in("activities.sources.prometheus:PrometheusSource"),
    "sql": built_in("activities.sources.sql:SqlSource"),
    "temporal": built_in("activities.sources.temporal:TemporalSource"),
}

_ADAPTERS = Adapters("source", GROUP, BUILT_IN)
source_kinds = _ADAPTERS.kinds
make_source = _ADAPTERS.make
