"""Gateway API: the weights of an HTTPRoute's backendRefs, which Envoy Gateway, Istio, Contour, NGINX and others follow.

Source: https://gateway-api.sigs.k8s.io/reference/spec/ (HTTPRouteRule, HTTPBackendRef, RouteParentStatus).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from activities.routers.kubernetes_api import STAND_IN, Kind, KubernetesApi, Object
from activities.routers.kubernetes_objects import Dialect, Observer, service_problem, share_out
from activities.routers.kubernetes_weights import WeightedObjectRouter
from activities.routers.options import options_of
from activities.routers.splits import Split
from coalmine.errors import RouteRejected
from coalmine.records import Capabilities
from coalmine.spec.canary import Route
from coalmine.spec.kubernetes_routes import KubernetesGatewayRoute

HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")
GATEWAY = Kind("gateway.networking.k8s.io", "v1", "Gateway", "gateways")
_PLAIN = {"group", "kind", "name", "namespace", "port", "weight"}
"""Keys of a reference beyond which a person has said more than where it points."""


class KubernetesGatewayRouter(WeightedObjectRouter):
    """``router: kubernetes-gateway``; ``name`` is the HTTPRoute, a backend is a Service."""

    able = Capabilities(fencing="strict", granularity=0.01, confirm=True, tested_against=STAND_IN)

    async def capabilities(self, route: Route) -> Capabilities:
        """Strict fence, steps of 0.01 %, every parent's controller asked."""
        self._options(route)
        return self.able

    def _options(self, route: Route) -> KubernetesGatewayRoute:
        return options_of(route, KubernetesGatewayRoute)

    def _dialect(self, route: Route) -> Dialect:
        return _HttpRoute()


class _HttpRoute:
    kind = HTTP_ROUTE

    def splits(self, found: Object) -> list[Split]:
        splits = []
        for number, rule in enumerate(_rules(found), 1):
            if not (refs := rule.get("backendRefs")):
                continue
            where = f"rule {number}" + (f" ({rule['name']})" if rule.get("name") else "")
            shares = tuple((_named(ref), int(1 if ref.get("weight") is None else ref["weight"])) for ref in refs)
            if len(dict(shares)) != len(shares):
                raise RouteRejected(f"{where}: names a backend twice: give each one weight")
            splits.append(Split(where, shares, len(shares) > 1))
        return splits

    def set_weights(self, found: Object, units: Mapping[str, int]) -> int:
        changed = 0
        for rule in _rules(found):
            refs = rule.get("backendRefs") or []
            if {_named(ref) for ref in refs} & set(units):
                changed += 1
                share_out(refs, units, _named, lambda ref: set(ref) <= _PLAIN, _like)
        return changed

    def observers(self, found: Object) -> list[Observer]:
        wanted = found["metadata"].get("generation", 0)
        namespace = found["metadata"]["namespace"]
        told = (found.get("status") or {}).get("parents") or []
        return [
            _observer(parent, namespace, [one for one in told if _key(one["parentRef"], namespace) == key], wanted)
            for parent in found["spec"].get("parentRefs") or []
            for key in [_key(parent, namespace)]
        ]

    async def down(self, api: KubernetesApi, found: Object) -> dict[str, str]:
        """Gateways that are not there or not programmed; other parents, such as a mesh's Services, tell nothing."""
        problems = {}
        for parent in found["spec"].get("parentRefs") or []:
            _, kind, namespace, name, _, _ = _key(parent, found["metadata"]["namespace"])
            if kind == GATEWAY.kind:
                label = _label(parent, found["metadata"]["namespace"])
                gateway = await api.find(GATEWAY, name, namespace)
                told = ((gateway or {}).get("status") or {}).get("conditions") or []
                lacks = [one for one in told if one["type"] == "Programmed" and one["status"] != "True"]
                if gateway is None:
                    problems[label] = f"{label}: the Gateway is not there"
                elif lacks:
                    why = ": ".join(filter(None, (lacks[0].get("reason"), lacks[0].get("message"))))
                    problems[label] = f"{label}: the Gateway is not programmed ({why})"
        return problems

    async def problem(self, api: KubernetesApi, found: Object, backend: str) -> str:
        refs = [ref for rule in _rules(found) for ref in rule.get("backendRefs") or [] if _named(ref) == backend]
        places = {ref.get("namespace", "") for ref in refs} or {_first_namespace(found)}
        problems = [await service_problem(api, backend, place) for place in sorted(places)]
        return "; ".join(problem for problem in problems if problem)


def _rules(found: Object) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = found["spec"].get("rules") or []
    return rules


def _named(ref: Mapping[str, Any]) -> str:
    """A Service by its name; of another kind, whose readiness nobody here knows, with its kind."""
    kind = ref.get("kind") or "Service"
    return str(ref["name"]) if kind == "Service" and not ref.get("group") else f"{kind}/{ref['name']}"


def _like(first: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in first.items() if key in _PLAIN} | {"name": name}


def _first_namespace(found: Object) -> str:
    refs = [ref for rule in _rules(found) for ref in rule.get("backendRefs") or []]
    return str(refs[0].get("namespace", "")) if refs else ""


def _key(parent: Mapping[str, Any], namespace: str) -> tuple[Any, ...]:
    return (
        parent.get("group", HTTP_ROUTE.group),
        parent.get("kind", "Gateway"),
        parent.get("namespace", namespace),
        parent["name"],
        parent.get("sectionName"),
        parent.get("port"),
    )


def _label(parent: Mapping[str, Any], namespace: str) -> str:
    _, kind, place, name, section, port = _key(parent, namespace)
    return f"{kind} {place}/{name}" + "".join(f"/{part}" for part in (section, port) if part)


def _observer(parent: Mapping[str, Any], namespace: str, statuses: list[dict[str, Any]], wanted: int) -> Observer:
    """What the controllers of one parent say. Every one of them has to have judged this very generation."""
    label = _label(parent, namespace)
    if not statuses:
        return Observer(label, observed=False)
    refused, observed = [], True
    for status in statuses:
        conditions = {one["type"]: one for one in status.get("conditions") or []}
        current = {kind: one for kind, one in conditions.items() if one.get("observedGeneration", 0) >= wanted}
        observed &= {"Accepted", "ResolvedRefs"} <= set(current)
        for kind, right in (("Accepted", "True"), ("ResolvedRefs", "True"), ("PartiallyInvalid", "False")):
            one = current.get(kind)
            if one and one["status"] != right:
                why = ": ".join(filter(None, (one.get("reason"), one.get("message"))))
                refused.append(f"{kind} is {one['status']} ({why})")
    return Observer(label, observed, "; ".join(refused))
