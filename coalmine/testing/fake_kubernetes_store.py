"""The objects of a fake Kubernetes: versions, conflicts, patches and validation as an API server has them.

Sources: https://kubernetes.io/docs/reference/using-api/api-concepts/ (resource versions, patches),
RFC 6902 and RFC 7386.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
EPOCH = "2026-01-01T00:00:00Z"
"""When everything was made: no test of ours asks for an age."""


@dataclass(frozen=True)
class Resource:
    """A kind the server knows. ``status``: it has a status subresource; ``lax``: it may be replaced unread."""

    group: str
    version: str
    kind: str
    plural: str
    short: tuple[str, ...] = ()
    status: bool = True
    lax: bool = False

    @property
    def api_version(self) -> str:
        """As objects write it."""
        return f"{self.group}/{self.version}" if self.group else self.version


RESOURCES = (
    Resource("", "v1", "Service", "services", ("svc",), lax=True),
    Resource("", "v1", "Pod", "pods", ("po",), lax=True),
    Resource("apps", "v1", "Deployment", "deployments", ("deploy",), lax=True),
    Resource("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", ("hpa",), lax=True),
    Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", status=False, lax=True),
    Resource("gateway.networking.k8s.io", "v1", "Gateway", "gateways", ("gtw",)),
    Resource("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
    Resource("networking.istio.io", "v1", "VirtualService", "virtualservices", ("vs",)),
    Resource("networking.istio.io", "v1", "DestinationRule", "destinationrules", ("dr",)),
)


class ApiProblem(Exception):
    """Raised with what the server answers instead: a status code, a reason, a message, and which fields it is about."""

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.details = code, reason, details or {}


def not_found(resource: Resource, name: str) -> ApiProblem:
    """The answer for an object that is not there."""
    plural = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    return ApiProblem(404, "NotFound", f'{plural} "{name}" not found')


@dataclass
class Store:
    """Objects by resource, namespace and name. ``changed`` hears of each change."""

    changed: Callable[[Resource, Object], None] = lambda resource, found: None
    objects: dict[tuple[Resource, str, str], Object] = field(default_factory=dict)
    version: int = 1000
    """The version of the whole; each write raises it, and an object keeps that of its last."""

    def rehearsal(self) -> Store:
        """A copy to try a write on: nobody hears of it."""
        return Store(objects=copy.deepcopy(self.objects), version=self.version)

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """A copy of one object."""
        found = self.objects.get((resource, namespace, name))
        if found is None:
            raise not_found(resource, name)
        return copy.deepcopy(found)

    def list(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """Copies of all of a namespace (or of all, without one) that have these labels, by name."""
        return [
            copy.deepcopy(found)
            for (kind, place, _), found in sorted(self.objects.items(), key=lambda item: item[0][1:])
            if kind == resource
            and namespace in ("", place)
            and labels.items() <= (found["metadata"].get("labels") or {}).items()
        ]

    def create(self, resource: Resource, namespace: str, sent: Object) -> Object:
        """Make an object."""
        name = sent["metadata"]["name"]
        if (resource, namespace, name) in self.objects:
            raise ApiProblem(409, "AlreadyExists", f'{resource.plural} "{name}" already exists')
        made = copy.deepcopy(sent) | {"apiVersion": resource.api_version, "kind": resource.kind}
        made["metadata"] |= {"namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": EPOCH}
        if resource.status:
            made.pop("status", None)
        made["metadata"]["generation"] = 1
        return self._keep(resource, made)

    def replace(self, resource: Resource, namespace: str, name: str, sent: Object, *, status: bool = False) -> Object:
        """Put an object in another's place, if it was read as it is now."""
        old = self.get(resource, namespace, name)
        version = sent["metadata"].get("resourceVersion")
        if not version and not resource.lax:
            raise _invalid(resource, name, "metadata.resourceVersion", "must be specified for an update")
        if version and version != old["metadata"]["resourceVersion"]:
            message = (
                f'Operation cannot be fulfilled on {resource.plural} "{name}": the object has been modified; '
                "please apply your changes to the latest version and try again"
            )
            raise ApiProblem(409, "Conflict", message)
        new = copy.deepcopy(old)
        if status:
            new["status"] = copy.deepcopy(sent.get("status", {}))
            return self._keep(resource, new) if new != old else old
        kept = {key: old["metadata"][key] for key in ("uid", "creationTimestamp", "namespace", "name", "generation")}
        new = copy.deepcopy(sent) | {"apiVersion": resource.api_version, "kind": resource.kind}
        new["metadata"] |= {**kept, "resourceVersion": old["metadata"]["resourceVersion"]}
        if resource.status:
            new.pop("status", None)
            new |= {"status": old["status"]} if "status" in old else {}
        if _body(new) != _body(old):
            new["metadata"]["generation"] += 1
        return self._keep(resource, new) if new != old else old

    def patch(self, resource: Resource, namespace: str, name: str, kind: str, patch: Any, *, status: bool) -> Object:
        """Change a part of an object; ``kind`` is the media type."""
        found = self.get(resource, namespace, name)
        if kind == "application/json-patch+json":
            found = json_patch(found, patch)
        elif kind in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
            found = merge_patch(found, patch, by_name="strategic" in kind)
        else:
            raise ApiProblem(415, "UnsupportedMediaType", f"the fake takes no patch of type {kind}")
        return self.replace(resource, namespace, name, found, status=status)

    def delete(self, resource: Resource, namespace: str, name: str) -> Object:
        """Remove an object."""
        found = self.get(resource, namespace, name)
        del self.objects[resource, namespace, name]
        self.changed(resource, found)
        return found

    def _keep(self, resource: Resource, made: Object) -> Object:
        validate(resource, made)
        self.version += 1
        made["metadata"]["resourceVersion"] = str(self.version)
        self.objects[resource, made["metadata"]["namespace"], made["metadata"]["name"]] = made
        self.changed(resource, made)
        return copy.deepcopy(made)


def merge_patch(old: Any, patch: Any, *, by_name: bool = False) -> Any:
    """RFC 7386; ``by_name``: lists of named things are merged by name, as a strategic patch does."""
    if not isinstance(patch, dict):
        if by_name and _named(patch) and _named(old):
            merged = {one["name"]: one for one in old}
            for one in patch:
                merged[one["name"]] = merge_patch(merged.get(one["name"], {}), one, by_name=True)
            return list(merged.values())
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value, by_name=by_name)
    return merged


def json_patch(found: Any, operations: list[dict[str, Any]]) -> Any:
    """RFC 6902: ``add``, ``remove``, ``replace`` and ``test``."""
    found = copy.deepcopy(found)
    for step in operations:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
        try:
            at = found
            for part in way:
                at = at[int(part)] if isinstance(at, list) else at[part]
            key: Any = (len(at) if last == "-" else int(last)) if isinstance(at, list) else last
            if step["op"] == "test" and at[key] != step["value"]:
                raise ApiProblem(422, "Invalid", f"the server rejected our request: test of {step['path']} failed")
            if step["op"] == "remove":
                del at[key]
            elif step["op"] == "add" and isinstance(at, list):
                at.insert(key, step["value"])
            elif step["op"] in ("add", "replace"):
                at[key] = step["value"]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ApiProblem(422, "Invalid", f"the server rejected our request: no {step['path']}") from error
    return found


def validate(resource: Resource, made: Object) -> None:
    """What an API server would not take: the rules of the kinds' own schemas that weights can break."""
    name, spec = made["metadata"]["name"], made.get("spec") or {}
    if resource.kind == "HTTPRoute":
        for number, rule in enumerate(spec.get("rules") or []):
            refs = rule.get("backendRefs") or []
            if len(refs) > 16:
                raise _invalid(resource, name, f"spec.rules[{number}].backendRefs", "must have at most 16 items")
            for ref in refs:
                weight = ref.get("weight", 1)
                if not isinstance(weight, int) or not 0 <= weight <= 1_000_000:
                    raise _invalid(
                        resource, name, f"spec.rules[{number}].backendRefs.weight", f"{weight!r}: 0..1000000"
                    )
    if resource.kind == "VirtualService":
        for number, rule in enumerate(spec.get("http") or []):
            for ref in rule.get("route") or []:
                weight = ref.get("weight", 0)
                if not isinstance(weight, int) or weight < 0:
                    raise _invalid(resource, name, f"spec.http[{number}].route.weight", f"{weight!r}: at least 0")
    if resource.kind == "Deployment":
        replicas = spec.get("replicas", 1)
        if not isinstance(replicas, int) or replicas < 0:
            raise _invalid(resource, name, "spec.replicas", f"{replicas!r}: must be greater than or equal to 0")


def _invalid(resource: Resource, name: str, where: str, what: str) -> ApiProblem:
    cause = {"reason": "FieldValueInvalid", "message": what, "field": where}
    details = {"name": name, "group": resource.group, "kind": resource.kind, "causes": [cause]}
    return ApiProblem(422, "Invalid", f'{resource.kind} "{name}" is invalid: {where}: {what}', details)


def _body(found: Object) -> Object:
    return {key: value for key, value in found.items() if key not in ("metadata", "status")}


def _named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "name" in one for one in value)
