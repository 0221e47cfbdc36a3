"""Routers by name: those of this package, and those of other distributions by the entry point ``coalmine.routers``."""

from __future__ import annotations

from collections.abc import Callable

from activities.adapters import Adapters, built_in
from activities.routers.base import Router
from activities.routers.envoy import EnvoyRouter
from coalmine.errors import UnknownAdapter

GROUP = "coalmine.routers"
RouterFactory = Callable[[], Router]


BUILT_IN: dict[str, RouterFactory] = {
    "envoy": EnvoyRouter,
    "envoy-xds": built_in("activities.routers.envoy_xds:EnvoyXdsRouter"),
    "haproxy": built_in("activities.routers.haproxy:HAProxyRouter"),
    "nginx": built_in("activities.routers.nginx:NginxRouter"),
    "traefik": built_in("activities.routers.traefik:TraefikRouter"),
    "aws-alb": built_in("activities.routers.aws_alb:AlbRouter", "aws"),
    "aws-lambda": built_in("activities.routers.aws_lambda:LambdaRouter", "aws"),
    "aws-route53": built_in("activities.routers.aws_route53:Route53Router", "aws"),
    "flagd": built_in("activities.routers.flagd:FlagdRouter"),
    "kubernetes-gateway": built_in("activities.routers.kubernetes_gateway:KubernetesGatewayRouter"),
    "kubernetes-istio": built_in("activities.routers.kubernetes_istio:KubernetesIstioRouter"),
    "kubernetes-replicas": built_in("activities.routers.kubernetes_replicas:KubernetesReplicasRouter"),
    "temporal-worker": built_in("activities.routers.temporal_worker:TemporalWorkerRouter"),
}

installed = Adapters("router", GROUP, BUILT_IN).factories
"""The built-in routers and those of entry points."""


class Routers:
    """Every router this worker has; each is made when it is first asked for, and kept."""

    def __init__(self, factories: dict[str, RouterFactory] | None = None) -> None:
        """``factories`` instead of those that are installed: for tests, and for workers that serve a few."""
        self._factories = installed() if factories is None else dict(factories)
        self._made: dict[str, Router] = {}

    def __getitem__(self, name: str) -> Router:
        """The router ``name``.

        Raises:
            UnknownAdapter: nobody registered it; lists those that are.
        """
        if name not in self._made:
            if name not in self._factories:
                known = ", ".join(sorted(self._factories))
                raise UnknownAdapter(f"route.router: {name!r} is not a known router (known: {known})")
            self._made[name] = self._factories[name]()
        return self._made[name]

    @property
    def names(self) -> list[str]:
        """All that are known."""
        return sorted(self._factories)
