"""Templates whose series bear names that the route's data plane gives to no arm."""

from __future__ import annotations

from typing import Any

import pytest

from coalmine.errors import SpecError
from coalmine.spec.canary import CanarySpec
from coalmine.spec.check import check_spec, recheck

GATEWAY = {"router": "kubernetes-gateway", "name": "checkout", "namespace": "shop"}
ISTIO = {**GATEWAY, "router": "kubernetes-istio"}
REPLICAS = {**GATEWAY, "router": "kubernetes-replicas", "replicas": 20}
LAMBDA = {"router": "aws-lambda", "name": "checkout", "alias": "live"}
FLAG = {"router": "flagd", "name": "new-checkout", "places": ["/etc/flags/shop.json"]}
WORKER = {"router": "temporal-worker", "name": "orders"}
ALB = {
    "router": "aws-alb",
    "name": "checkout",
    "places": ["arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener-rule/app/shop/50dc6c/f2f7dc/9683b2"],
    "fence_table": "fences",
}
SERVICES, SUBSETS, VERSIONS = ("checkout-v41", "checkout-v42"), ("checkout/v41", "checkout/v42"), ("41", "42")
OWN = {
    "total": 'istio_requests_total{destination_service_name="{arm.backend}"}',
    "events": 'istio_requests_total{destination_service_name="{arm.backend}",response_code=~"5.."}',
}
BUCKETS = {"buckets": 'istio_request_duration_milliseconds_bucket{destination_service_name="{arm.backend}"}'}


def spec(route: dict[str, Any], backends: tuple[str, str], *metrics: dict[str, Any]) -> dict[str, Any]:
    arms = {"baseline": {"version": "1", "backend": backends[0]}, "canary": {"version": "2", "backend": backends[1]}}
    return {
        "service": "checkout",
        "environment": "test",
        "arms": arms,
        "route": route,
        "steps": [{"weight": 10, "for": "5m"}],
        "metrics": list(metrics),
        "sources": {"prometheus": {"url": "http://127.0.0.1:9090"}},
    }


def errors(template: str, **own: str) -> dict[str, Any]:
    return {"name": "errors", "kind": "ratio", "template": template, "max": 0.02, **own}


def problems(route: dict[str, Any], backends: tuple[str, str], *metrics: dict[str, Any]) -> list[str]:
    try:
        check_spec(spec(route, backends, *metrics))
    except SpecError as error:
        return [f"{problem.field}: {problem.message}" for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("route", "backends", "template", "told", "mend"),
    [
        (GATEWAY, SERVICES, "envoy", "httproute/shop/checkout/rule/N", "docs/kubernetes.md shows, or template: http"),
        (GATEWAY, SERVICES, "haproxy", "'checkout-v41'", "or opentelemetry or istio"),
        (GATEWAY, SERVICES, "traefik", "-shop-checkout-v41-PORT@kubernetesgateway", "write total and events"),
        (GATEWAY, ("Backend/a", "Backend/b"), "istio", "'Backend/a' is the name of none", "write selectors"),
        (ISTIO, SERVICES, "envoy", "outbound|PORT|SUBSET|HOST", "http or opentelemetry or istio"),
        (ISTIO, SUBSETS, "envoy", "'checkout/v41'", "template: http or opentelemetry"),
        (REPLICAS, SERVICES, "envoy", "one Service", "or istio"),
        (LAMBDA, VERSIONS, "istio", "version of a function", "template: http or opentelemetry"),
        (FLAG, ("old", "new"), "envoy", "variant of a flag", "template: http or opentelemetry"),
        (WORKER, VERSIONS, "envoy", "build of workers", "write total and events"),
    ],
)
def test_a_template_that_finds_no_arm_is_refused_with_the_mend(
    route: dict[str, Any], backends: tuple[str, str], template: str, told: str, mend: str
) -> None:
    (found,) = problems(route, backends, errors(template))
    assert found.startswith(f"metrics[0].template: {template} reads by ")
    assert told in found
    assert mend in found
    if backends == SUBSETS:
        assert not found.endswith("istio")


@pytest.mark.parametrize(
    ("route", "backends", "metric"),
    [
        (GATEWAY, SERVICES, errors("istio")),
        (GATEWAY, SERVICES, errors("http")),
        (GATEWAY, SERVICES, errors("opentelemetry")),
        (GATEWAY, SERVICES, errors("envoy", **OWN)),
        (ISTIO, ("checkout", "checkout-next"), errors("istio")),
        (REPLICAS, SERVICES, errors("istio")),
        (ALB, SERVICES, errors("envoy")),
        (ALB, SERVICES, errors("istio")),
        (LAMBDA, VERSIONS, errors("http")),
    ],
)
def test_one_that_may_find_them_is_valid(
    route: dict[str, Any], backends: tuple[str, str], metric: dict[str, Any]
) -> None:
    assert problems(route, backends, metric) == []


def test_the_mend_names_what_is_missing_and_templates_that_have_it() -> None:
    saturation = {"name": "queue", "kind": "value", "template": "envoy", "tolerance": 2, "suffix": "requests"}
    half = errors("envoy", total=OWN["total"])
    latency = {"name": "latency", "kind": "latency", "template": "envoy"}
    limit = {"objective": {"under": "250ms", "share": 0.99}}
    queue, one, times = problems(GATEWAY, SERVICES, saturation, half, {**latency, **limit})
    assert queue.endswith(": write values as docs/kubernetes.md shows")
    assert ": write events as docs/kubernetes.md shows, or template" in one
    assert ": write buckets as docs/kubernetes.md shows, or template" in times
    assert problems(GATEWAY, SERVICES, errors("istio"), {**latency, **limit, **BUCKETS}) == []


def test_what_the_template_lacks_is_told_once() -> None:
    latency = {"name": "latency", "kind": "latency", "template": "haproxy"}
    (found,) = problems(GATEWAY, SERVICES, {**latency, "objective": {"under": "250ms", "share": 0.99}})
    assert "averages of latency" in found


def test_rollouts_that_began_before_are_replayed_as_they_were() -> None:
    before = CanarySpec.model_validate(spec(GATEWAY, SERVICES, errors("envoy")))
    assert recheck(before, older=True) == []
    assert len(recheck(before)) == 1
