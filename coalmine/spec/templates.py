"""Templates: what ``template: envoy`` and ``template: http`` read for each kind of metric.

Both were read off the real thing: Envoy 1.40's ``/stats/prometheus``, and what the Prometheus client libraries' HTTP
instrumentations have in common (see docs/prometheus.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from coalmine.spec.canary import Arm, Metric
from coalmine.spec.selectors import Matcher, Selector, fill_selector, parse_selector

Part = Literal["total", "events", "buckets", "values"]
PARTS: dict[str, tuple[Part, ...]] = {
    "ratio": ("total", "events"),
    "latency": ("buckets",),
    "value": ("values",),
    "count": ("events",),
    "slo": ("total", "events"),
    "threshold": (),
}
"""Which selectors a metric of each kind needs; a threshold has a query instead."""
TEMPLATED: tuple[Part, ...] = ("total", "events", "buckets")
"""What templates know."""


@dataclass(frozen=True)
class Template:
    """Selectors for an arm, and the unit its histogram is bounded in."""

    name: str
    unit: Literal["s", "ms"]
    select: Callable[[Part, Arm], Selector]


def _envoy(part: Part, arm: Arm) -> Selector:
    # Envoy splits its statistics' names at dots: of a cluster "shop-1.42.0" the label keeps "shop-1" and the rest goes
    # into the metric's name. A colon becomes an underscore. upstream_rq_total misses requests that never found a
    # healthy connection, so the requests are those completed.
    label, _, rest = arm.backend.replace(":", "_").partition(".")
    infix = re.sub(r"[^a-zA-Z0-9_]", "_", rest) + "_" if rest else ""
    cluster = Matcher("envoy_cluster_name", "=", label)
    if part == "total":
        return Selector(f"envoy_cluster_{infix}upstream_rq_completed", (cluster,))
    if part == "events":
        failed = Matcher("envoy_response_code_class", "=", "5")
        return Selector(f"envoy_cluster_{infix}upstream_rq_xx", (cluster, failed))
    return Selector(f"envoy_cluster_{infix}upstream_rq_time_bucket", (cluster,))


def _http(part: Part, arm: Arm) -> Selector:
    version = Matcher("version", "=", arm.version)
    if part == "total":
        return Selector("http_requests_total", (version,))
    if part == "events":
        return Selector("http_requests_total", (version, Matcher("code", "=~", "5..")))
    return Selector("http_request_duration_seconds_bucket", (version,))


TEMPLATES: dict[str, Template] = {
    "envoy": Template("envoy", "ms", _envoy),
    "http": Template("http", "s", _http),
}


@dataclass(frozen=True)
class Query:
    """What to read for one part of a metric and one arm: the series of all selectors, added up."""

    selectors: tuple[Selector, ...]
    unit: Literal["s", "ms"]


def metric_query(metric: Metric, part: Part, arm: Arm) -> Query:
    """The selectors of one part of a metric, filled for an arm; the metric's own keys win over its template's.

    Raises:
        ValueError: no selector for the part, an unknown template, or a selector that is none; names field and mend.
    """
    own: str | list[str] | None = getattr(metric, part)
    field = f"metrics.{metric.name}.{part}"
    if own:
        try:
            parsed = tuple(
                fill_selector(parse_selector(text), arm) for text in ([own] if isinstance(own, str) else own)
            )
        except ValueError as error:
            raise ValueError(f"{field}: {error}") from None
        return Query(parsed, metric.unit)
    if part not in TEMPLATED:
        raise ValueError(f"{field} is missing: write a selector")
    if metric.template is None:
        raise ValueError(f"{field} is missing: write a selector, or a template ({', '.join(TEMPLATES)})")
    template = TEMPLATES.get(metric.template)
    if template is None:
        raise ValueError(
            f"metrics.{metric.name}.template: {metric.template!r} is not known, known are {', '.join(TEMPLATES)}"
        )
    return Query((template.select(part, arm),), template.unit)
