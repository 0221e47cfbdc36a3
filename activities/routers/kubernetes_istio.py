"""Istio: the weights of a VirtualService's http routes.

Source: https://istio.io/latest/docs/reference/config/networking/virtual-service/ (HTTPRoute, HTTPRouteDestination) and
.../config/config-status/ (status, which istiod writes only where its analysis is enabled).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from activities.routers.kubernetes_api import POD, SERVICE, STAND_IN, Kind, KubernetesApi, Object
from activities.routers.kubernetes_objects import Dialect, Observer, service_problem, share_out
from activities.routers.kubernetes_weights import WeightedObjectRouter
from activities.routers.options import options_of
from activities.routers.splits import Split
from coalmine.errors import RouteRejected
from coalmine.records import Capabilities
from coalmine.spec.canary import Route
from coalmine.spec.kubernetes_routes import KubernetesIstioRoute

VIRTUAL_SERVICE = Kind("networking.istio.io", "v1", "VirtualService", "virtualservices")
DESTINATION_RULE = Kind("networking.istio.io", "v1", "DestinationRule", "destinationrules")
_ERRORS = ("ERROR", 3)
"""``AnalysisMessageBase.Level`` as a name or as a number."""


class KubernetesIstioRouter(WeightedObjectRouter):
    """``router: kubernetes-istio``; ``name`` is the VirtualService, a backend is a host, or ``host/subset``."""

    able = Capabilities(fencing="strict", granularity=0.01, confirm=True, tested_against=STAND_IN)

    async def capabilities(self, route: Route) -> Capabilities:
        """Strict fence, steps of 0.01 %; confirmed by istiod's status where it writes one."""
        return self.able.model_copy(update={"confirm": self._options(route).istiod_status})

    def _options(self, route: Route) -> KubernetesIstioRoute:
        return options_of(route, KubernetesIstioRoute)

    def _dialect(self, route: Route) -> Dialect:
        return _VirtualService(self._options(route).istiod_status)


class _VirtualService:
    kind = VIRTUAL_SERVICE

    def __init__(self, status: bool) -> None:
        self._status = status

    def splits(self, found: Object) -> list[Split]:
        splits = []
        for number, rule in enumerate(_rules(found), 1):
            if not (refs := rule.get("route")):
                continue
            where = f"http route {number}" + (f" ({rule['name']})" if rule.get("name") else "")
            # A single destination gets everything, whatever its weight.
            shares = tuple((_named(ref), 1 if len(refs) == 1 else int(ref.get("weight") or 0)) for ref in refs)
            if len(dict(shares)) != len(shares):
                raise RouteRejected(f"{where}: names a destination twice: give each one weight")
            splits.append(Split(where, shares, len(shares) > 1))
        return splits

    def set_weights(self, found: Object, units: Mapping[str, int]) -> int:
        changed = 0
        for rule in _rules(found):
            refs = rule.get("route") or []
            if {_named(ref) for ref in refs} & set(units):
                changed += 1
                share_out(refs, units, _named, lambda ref: set(ref) <= {"destination", "weight"}, _like)
        return changed

    def observers(self, found: Object) -> list[Observer]:
        if not self._status:
            return []
        status = found.get("status") or {}
        # A 64-bit number of a protobuf message is text in JSON.
        observed = int(status.get("observedGeneration") or 0) >= found["metadata"].get("generation", 0)
        wrong = [
            " ".join(filter(None, ((one.get("type") or {}).get("code"), (one.get("type") or {}).get("name"))))
            for one in status.get("validationMessages") or []
            if one.get("level") in _ERRORS
        ]
        return [Observer("istiod", observed, f"istiod reports {', '.join(wrong)}" if wrong and observed else "")]

    async def down(self, api: KubernetesApi, found: Object) -> dict[str, str]:
        return {}

    async def problem(self, api: KubernetesApi, found: Object, backend: str) -> str:
        host, _, subset = backend.partition("/")
        name, namespace = _service(host, api.namespace)
        if not subset:
            return await service_problem(api, name, namespace)
        service, rules = await asyncio.gather(
            api.find(SERVICE, name, namespace), api.list(DESTINATION_RULE, namespace=api.namespace)
        )
        if service is None:
            return f"Service {namespace}/{name} is not there: make it before {backend!r} gets traffic"
        subsets = [
            one
            for rule in rules
            if _service(rule["spec"]["host"], api.namespace) == (name, namespace)
            for one in rule["spec"].get("subsets") or []
            if one["name"] == subset
        ]
        if not subsets:
            return f"no DestinationRule of namespace {api.namespace} has {backend!r}: define the subset first"
        labels = {**(service["spec"].get("selector") or {}), **(subsets[0].get("labels") or {})}
        pods = await api.list(POD, labels, namespace)
        if not any(_ready(pod) for pod in pods):
            return f"{backend!r} has no healthy pod ({_listed(labels)}): start it before it gets traffic"
        return ""


def _rules(found: Object) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = found["spec"].get("http") or []
    return rules


def _named(ref: Mapping[str, Any]) -> str:
    to = ref["destination"]
    return f"{to['host']}/{to['subset']}" if to.get("subset") else str(to["host"])


def _like(first: Mapping[str, Any], backend: str) -> dict[str, Any]:
    host, _, subset = backend.partition("/")
    port = first["destination"].get("port")
    return {"destination": {"host": host} | ({"subset": subset} if subset else {}) | ({"port": port} if port else {})}


def _service(host: str, namespace: str) -> tuple[str, str]:
    """The Service a host means: a short one is of the object's own namespace."""
    name, _, rest = host.partition(".")
    return name, rest.partition(".")[0] or namespace


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    leaving = pod["metadata"].get("deletionTimestamp")
    return not leaving and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _listed(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())
