"""Templates: what ``template: envoy`` or ``template: http`` reads for each kind of metric, and what cannot be read.

A ratio is of errors, a latency of the histogram, a value of saturation: how many requests wait for a free connection.

Read off the real thing: Envoy 1.40, HAProxy 2.6, Traefik 3.7, and what the Prometheus client libraries' HTTP
instrumentations have in common. Read off their documentation: Istio, OpenTelemetry (see docs/prometheus.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from coalmine.spec.canary import Arm
from coalmine.spec.metrics import Metric
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


@dataclass(frozen=True)
class Template:
    """Selectors for an arm, and the unit its histogram is bounded in."""

    name: str
    unit: Literal["s", "ms"]
    select: Callable[[Part, Arm], Selector]
    lacks: Mapping[Part, str] = field(default_factory=dict)
    """Parts that are not there to be read, and what to do instead."""


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
    if part == "values":
        # Requests that wait for a connection. Not those in flight: they grow with an arm's share of the traffic.
        return Selector(f"envoy_cluster_{infix}upstream_rq_pending_active", (cluster,))
    return Selector(f"envoy_cluster_{infix}upstream_rq_time_bucket", (cluster,))


def _http(part: Part, arm: Arm) -> Selector:
    version = Matcher("version", "=", arm.version)
    if part == "total":
        return Selector("http_requests_total", (version,))
    if part == "events":
        return Selector("http_requests_total", (version, Matcher("code", "=~", "5..")))
    return Selector("http_request_duration_seconds_bucket", (version,))


def _haproxy(part: Part, arm: Arm) -> Selector:
    # Not haproxy_backend_http_requests_total: it counts what has no answer yet, so it is ahead of the errors.
    answers = Selector("haproxy_backend_http_responses_total", (Matcher("proxy", "=", arm.backend),))
    if part == "events":
        return Selector(answers.name, (*answers.matchers, Matcher("code", "=", "5xx")))
    if part == "values":
        # Not the average time in the queue: it is of the last 1,024 requests, of which a canary has few for long.
        return Selector("haproxy_backend_current_queue", answers.matchers)
    return answers


def _traefik(part: Part, arm: Arm) -> Selector:
    backend = arm.backend if "@" in arm.backend else f"{arm.backend}@file"
    service = Matcher("service", "=", backend)
    if part == "total":
        return Selector("traefik_service_requests_total", (service,))
    if part == "events":
        return Selector("traefik_service_requests_total", (service, Matcher("code", "=~", "5..")))
    return Selector("traefik_service_request_duration_seconds_bucket", (service,))


def _istio(part: Part, arm: Arm) -> Selector:
    # Both ends of a call report it: those of the called one also have what came from outside the mesh.
    workload = (Matcher("reporter", "=", "destination"), Matcher("destination_workload", "=", arm.backend))
    if part == "total":
        return Selector("istio_requests_total", workload)
    if part == "events":
        return Selector("istio_requests_total", (*workload, Matcher("response_code", "=~", "5..")))
    return Selector("istio_request_duration_milliseconds_bucket", workload)


def _opentelemetry(part: Part, arm: Arm) -> Selector:
    version = Matcher("service_version", "=", arm.version)
    if part == "total":
        return Selector("http_server_request_duration_seconds_count", (version,))
    if part == "events":
        failed = Matcher("http_response_status_code", "=~", "5..")
        return Selector("http_server_request_duration_seconds_count", (version, failed))
    return Selector("http_server_request_duration_seconds_bucket", (version,))


def _none(part: Part, arm: Arm) -> Selector:
    raise AssertionError(f"{part} is lacking for every arm")


_NO_ARMS = (
    "open nginx counts no requests by upstream: read what your service counts (template: http or opentelemetry), or "
    "write selectors for an exporter that reads its access log"
)
_SATURATION = (
    "for saturation write values: a gauge that does not grow with an arm's share of the traffic, such as a queue's "
    "length or a pool's use, as docs/prometheus.md shows (template: envoy and haproxy have their queue)"
)
_NO_QUEUE: Mapping[str, str] = {
    "http": f"these instrumentations have no gauge in common; {_SATURATION}",
    "nginx": f"open nginx tells no queue by upstream; {_SATURATION}",
    "traefik": f"Traefik queues nothing and tells no load by service; {_SATURATION}",
    "istio": f"Istio's standard metrics have no queue by workload; {_SATURATION}",
    "opentelemetry": (
        f"http.server.active_requests grows with an arm's share of the traffic, so arms differ by it; {_SATURATION}"
    ),
}
TEMPLATES: dict[str, Template] = {
    "envoy": Template("envoy", "ms", _envoy),
    "http": Template("http", "s", _http, {"values": _NO_QUEUE["http"]}),
    "haproxy": Template(
        "haproxy",
        "s",
        _haproxy,
        {
            "buckets": "HAProxy has averages of latency and no histogram: read one your service has (template: http or "
            "opentelemetry), or write buckets"
        },
    ),
    "nginx": Template(
        "nginx", "s", _none, {"total": _NO_ARMS, "events": _NO_ARMS, "buckets": _NO_ARMS, "values": _NO_QUEUE["nginx"]}
    ),
    "traefik": Template("traefik", "s", _traefik, {"values": _NO_QUEUE["traefik"]}),
    "istio": Template("istio", "ms", _istio, {"values": _NO_QUEUE["istio"]}),
    "opentelemetry": Template("opentelemetry", "s", _opentelemetry, {"values": _NO_QUEUE["opentelemetry"]}),
}
TEMPLATE_SOURCES: dict[str, str] = {**dict.fromkeys(TEMPLATES, "prometheus"), "temporal": "temporal"}
"""Every template, and the kind of source it is of."""

_CLOUDWATCH: Mapping[str, Mapping[Part, str]] = {
    "alb": {
        "total": "RequestCount",
        "events": "HTTPCode_Target_5XX_Count, and TargetConnectionErrorCount",
        "buckets": "TargetResponseTime",
    },
    "lambda": {"total": "Invocations", "events": "Errors", "buckets": "Duration"},
}
_DIMENSIONS = {
    "alb": "its load balancer and target group",
    "lambda": "the function, its alias and the version",
}


def untemplated(name: str, kind: str) -> str:
    """What to write where somebody asks for a template that cannot be: an arm alone does not tell its dimensions.

    Empty for any other name.
    """
    if name not in _CLOUDWATCH:
        return ""
    if kind == "value":
        return (
            f"there is no template for {name}: CloudWatch keeps no gauge of each instance; make an alarm of its "
            "saturation and read it with kind: threshold, as docs/aws.md shows"
        )
    keys = {part: _CLOUDWATCH[name][part] for part in PARTS[kind] if part in _CLOUDWATCH[name]}
    wanted = " and ".join(f"{part} (of {metric})" for part, metric in keys.items())
    say = f"write {wanted}" if wanted else "leave it out"
    return (
        f"there is no template for {name}: CloudWatch asks for {_DIMENSIONS[name]} by name, which no arm tells; {say} "
        "for a source of kind cloudwatch, as docs/aws.md shows"
    )


@dataclass(frozen=True)
class Query:
    """What to read for one part of a metric and one arm: the series of all selectors, added up."""

    selectors: tuple[Selector, ...]
    unit: Literal["s", "ms"]


def templates_of(part: Part) -> list[str]:
    """The templates that can read a part."""
    return [name for name, template in TEMPLATES.items() if part not in template.lacks]


def metric_query(metric: Metric, part: Part, arm: Arm) -> Query:
    """The selectors of one part of a metric, filled for an arm; the metric's own keys win over its template's.

    Raises:
        ValueError: no selector for the part, an unknown template, or a selector that is none; names field and mend.
    """
    own: str | list[str] | None = getattr(metric, part)
    place = f"metrics.{metric.name}.{part}"
    if own:
        try:
            parsed = tuple(
                fill_selector(parse_selector(text), arm) for text in ([own] if isinstance(own, str) else own)
            )
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
        return Query(parsed, metric.unit)
    if metric.template is None:
        raise ValueError(f"{place} is missing: write a selector, or a template ({', '.join(templates_of(part))})")
    template = TEMPLATES.get(metric.template)
    if template is None:
        raise ValueError(
            f"metrics.{metric.name}.template: {metric.template!r} is not known, known are {', '.join(TEMPLATES)}"
        )
    if part in template.lacks:
        raise ValueError(f"{place}: {template.lacks[part]}")
    return Query((template.select(part, arm),), template.unit)
