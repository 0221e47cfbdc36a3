"""How a fake Kubernetes tells ``kubectl`` which kinds it knows."""

from __future__ import annotations

from collections.abc import Sequence

from coalmine.testing.fake_kubernetes_store import RESOURCES, Object


def discovered(parts: Sequence[str]) -> Object | None:
    """The answer to a path of discovery; None for any other."""
    groups = sorted({(one.group, one.version) for one in RESOURCES if one.group})
    match parts:
        case ["version"]:
            return {"major": "1", "minor": "32", "gitVersion": "v1.32.0-fake"}
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            versions = [
                (group, {"groupVersion": f"{group}/{version}", "version": version}) for group, version in groups
            ]
            listed = [{"name": group, "versions": [one], "preferredVersion": one} for group, one in versions]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
        case ["api", version]:
            return _resources("", version)
        case ["apis", group, version]:
            return _resources(group, version)
    return None


def _resources(group: str, version: str) -> Object:
    verbs = ["create", "delete", "get", "list", "patch", "update"]
    known = [one for one in RESOURCES if (one.group, one.version) == (group, version)]
    listed = [
        {"name": one.plural, "singularName": one.kind.lower(), "namespaced": True, "kind": one.kind, "verbs": verbs,
         "shortNames": list(one.short)}
        for one in known
    ]  # fmt: skip
    whole = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": whole, "resources": listed}
