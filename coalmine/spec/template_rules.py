"""Templates that can find nothing: their series bear names that the route's data plane gives to no arm.

Read off the sources and metrics of Envoy Gateway, Istio, Contour and Traefik (docs/kubernetes.md). A router that is not
here may have any proxy behind it that is called as the arms are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from coalmine.spec.canary import Arm, CanarySpec, Route
from coalmine.spec.faults import Fault
from coalmine.spec.metrics import Metric
from coalmine.spec.templates import PARTS, TEMPLATE_SOURCES, TEMPLATES, templates_of

_BY_VERSION = ("http", "opentelemetry")
"""Templates of what the service counts itself, whatever is before it."""
_ISTIO_ONLY = "the mesh calls nothing of its proxies so (Envoy's clusters are outbound|PORT|SUBSET|HOST)"
_DEPLOYMENTS = "the arms are Deployments behind one Service, which is all that a proxy knows"
_LAMBDA = "an arm is a version of a function, which no proxy counts"
_FLAG = "an arm is a variant of a flag within the service, which no proxy counts"
_WORKER = "an arm is a build of workers, which no proxy sends requests to"
_PROXIES = ("envoy", "haproxy", "traefik")
_NOWHERE: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "kubernetes-gateway": {
            "envoy": "no gateway calls a cluster so (Envoy Gateway has httproute/{namespace}/{name}/rule/N, for both "
            "arms together)",
            "haproxy": "no gateway calls a backend so (HAProxy's have namespace and port in their names)",
            "traefik": "no gateway calls a service so (Traefik's end in -{namespace}-{backend}-PORT@kubernetesgateway)",
        },
        "kubernetes-istio": dict.fromkeys(_PROXIES, _ISTIO_ONLY),
        "kubernetes-replicas": dict.fromkeys(_PROXIES, _DEPLOYMENTS),
        "aws-lambda": dict.fromkeys((*_PROXIES, "istio"), _LAMBDA),
        "flagd": dict.fromkeys((*_PROXIES, "istio"), _FLAG),
        "temporal-worker": dict.fromkeys((*_PROXIES, "istio"), _WORKER),
    }
)
"""Why a template finds nothing under the name of an arm's backend, by router and template."""
_WRITTEN_OUT = frozenset({"kubernetes-gateway", "kubernetes-istio"})
"""Routers for which docs/kubernetes.md shows selectors."""


def template_faults(spec: CanarySpec) -> Iterator[Fault]:
    """Metrics whose template can find nothing of an arm; those that say all selectors themselves are left alone."""
    for index, metric in enumerate(spec.metrics):
        source = spec.sources.get(metric.source)
        if source is not None and source.kind != TEMPLATE_SOURCES.get(metric.template or ""):
            continue
        told = [_never_found(metric, arm, spec.route) for arm in (spec.arms.baseline, spec.arms.canary)]
        if problem := next(filter(None, told), ""):
            yield Fault(("metrics", index, "template"), problem)


def _never_found(metric: Metric, arm: Arm, route: Route) -> str:
    template = TEMPLATES.get(metric.template or "")
    missing = [part for part in PARTS[metric.kind] if not getattr(metric, part)]
    if template is None or not missing or any(part in template.lacks for part in missing):
        return ""
    if why := _NOWHERE.get(route.router, {}).get(template.name):
        names = {"name": route.name, "namespace": route.options.get("namespace", ""), "backend": arm.backend}
        write = f"write {' and '.join(missing)}"
        write += " as docs/kubernetes.md shows" if route.router in _WRITTEN_OUT else ""
        able = [name for name in _able(arm, route) if all(name in templates_of(part) for part in missing)]
        write += f", or template: {' or '.join(able)}" if able else ""
        return f"{template.name} reads by the name {arm.backend!r}, and {why.format_map(names)}: {write}"
    if template.name != "istio" or not _no_workload(arm):
        return ""
    return (
        f"istio reads by workload, and {arm.backend!r} is the name of none: write selectors, such as "
        'istio_requests_total{reporter="destination",destination_workload="shop-{arm.version}"}'
    )


def _able(arm: Arm, route: Route) -> tuple[str, ...]:
    """Templates that may find the arm instead."""
    in_a_mesh = route.router.startswith("kubernetes-") and not _no_workload(arm)
    return (*_BY_VERSION, "istio") if in_a_mesh else _BY_VERSION


def _no_workload(arm: Arm) -> bool:
    """Whether this is a subset of a host, a Service with its namespace, or a reference with its kind."""
    return "/" in arm.backend or ".svc" in arm.backend
