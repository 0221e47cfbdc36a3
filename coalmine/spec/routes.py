"""The keys each router has in ``route`` besides ``router`` and ``name``: what ``Route.options`` holds."""

from __future__ import annotations

from coalmine.spec.aws_routes import AlbRoute, LambdaRoute, Route53Route
from coalmine.spec.base import SpecModel
from coalmine.spec.flag_routes import FlagdRoute
from coalmine.spec.kubernetes_routes import KubernetesGatewayRoute, KubernetesIstioRoute, KubernetesReplicasRoute
from coalmine.spec.proxy_routes import EnvoyRoute, HAProxyRoute, NginxRoute, TraefikRoute
from coalmine.spec.temporal_routes import TemporalWorkerRoute
from coalmine.spec.xds_routes import EnvoyXdsRoute

ROUTE_OPTIONS: dict[str, type[SpecModel]] = {
    "aws-alb": AlbRoute,
    "aws-lambda": LambdaRoute,
    "aws-route53": Route53Route,
    "envoy": EnvoyRoute,
    "envoy-xds": EnvoyXdsRoute,
    "flagd": FlagdRoute,
    "haproxy": HAProxyRoute,
    "kubernetes-gateway": KubernetesGatewayRoute,
    "kubernetes-istio": KubernetesIstioRoute,
    "kubernetes-replicas": KubernetesReplicasRoute,
    "nginx": NginxRoute,
    "temporal-worker": TemporalWorkerRoute,
    "traefik": TraefikRoute,
}
"""The routers of this package, and the model of their keys. Routers of other distributions check their own."""
