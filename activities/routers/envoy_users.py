"""Testers, sticky users and copies in Envoy's routes: there while two clusters share the traffic, no write longer.

They are written with the weights and leave with them, so a rollback takes them all. What is ours carries a mark in the
entry's metadata (``filter_metadata.coalmine``); everything else of an entry stays as it was written.
Source: envoy.config.route.v3.Route, RouteAction.HashPolicy, RouteAction.RequestMirrorPolicy.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from activities.routers.envoy_routes import RouteConfiguration, clusters_named, field, put, shares
from coalmine.errors import RouteRejected
from coalmine.spec.route_users import Mirror, PinnedMatch, PinnedTesters, Sticky

MARK = "coalmine"
_PIN, _ADDED = "testers", "added"


@dataclass(frozen=True)
class Users:
    """What a route asks for besides weights."""

    sticky: Sticky | None = None
    testers: PinnedTesters | None = None
    mirror: Mirror | None = None

    @property
    def served(self) -> list[str]:
        """Clusters whose answers somebody gets."""
        return [self.testers.backend] if self.testers else []

    @property
    def clusters(self) -> list[str]:
        """All clusters it needs besides those of the weights."""
        return [*self.served, *([self.mirror.backend] if self.mirror else [])]


NOBODY = Users()


def shared(units: Mapping[str, int]) -> bool:
    """Whether two clusters have traffic: before and afterwards there is nothing to pin, keep or copy."""
    return sum(unit > 0 for unit in units.values()) > 1


def strip(configuration: RouteConfiguration) -> None:
    """Take out what was added for testers, sticky users and copies."""
    for host in field(configuration, "virtual_hosts") or []:
        routes = host.get("routes") or []
        for index in reversed(range(len(routes))):
            mark = _mark(routes[index])
            if mark.get(_PIN):
                del routes[index]
                continue
            for name in mark.get(_ADDED, []):
                routes[index]["route"].pop(name, None)
                (field(routes[index]["route"], "weighted_clusters") or {}).pop(name, None)
            if mark:
                _unmark(routes[index])


def clusters_kept(configuration: RouteConfiguration) -> set[str]:
    """Every cluster the configuration names besides those that leave with the next write."""
    if any(_mark(entry) for host in field(configuration, "virtual_hosts") or [] for entry in host.get("routes") or []):
        configuration = copy.deepcopy(configuration)
        strip(configuration)
    return clusters_named(configuration)


def add(configuration: RouteConfiguration, users: Users, backends: Collection[str]) -> None:
    """Add it to every entry that shares traffic between ``backends``.

    Raises:
        RouteRejected: an entry says something of its own there.
    """
    for host in field(configuration, "virtual_hosts") or []:
        routes = host.get("routes") or []
        for index in reversed(range(len(routes))):
            entry = routes[index]
            action = entry.get("route")
            if not isinstance(action, MutableMapping) or not {name for name, _ in shares(action)} & set(backends):
                continue
            where = f"virtual host {host.get('name', '?')!r}, route {entry.get('name') or index + 1}"
            pins = list(_pins(entry, users.testers, where)) if users.testers else []
            added = [*_keep(action, users.sticky, where), *_copy(action, users.mirror, where)]
            if added:
                _put_mark(entry, {_ADDED: added})
            for pin in reversed(pins):
                routes.insert(index, pin)


def _pins(entry: Mapping[str, Any], testers: PinnedTesters, where: str) -> Iterator[dict[str, Any]]:
    for number, one in enumerate(testers.match, 1):
        # Through JSON: a copy of the entry's comments would stand in the file twice.
        pin: dict[str, Any] = json.loads(json.dumps(entry, default=str))
        action = pin["route"]
        for key in ("weighted_clusters", "weightedClusters", "cluster"):
            action.pop(key, None)
        action["cluster"] = testers.backend
        if "match" not in pin:
            raise RouteRejected(f"{where}: has no match that testers could be added to: give it match.prefix")
        pin["match"].setdefault("headers", []).append(_matcher(one))
        pin["name"] = f"{entry.get('name') or 'coalmine'}-testers-{number}"
        _put_mark(pin, {_PIN: True})
        yield _quoted(pin)


def _quoted(value: Any) -> Any:
    """With every text in quotes: Envoy reads YAML 1.1, in which ``yes`` is no text."""
    if isinstance(value, str):
        return DoubleQuotedScalarString(value)
    if isinstance(value, list):
        return [_quoted(one) for one in value]
    return {key: _quoted(one) for key, one in value.items()} if isinstance(value, dict) else value


def _matcher(one: PinnedMatch) -> dict[str, Any]:
    values = "|".join(re.escape(value) for value in one.values)
    if one.cookie is not None:
        pattern = rf"(?:.*;\s*)?{re.escape(one.cookie)}=(?:{values})(?:\s*;.*)?"
        return {"name": "cookie", "string_match": {"safe_regex": {"regex": pattern}}}
    if len(one.values) == 1:
        return {"name": one.header, "string_match": {"exact": one.values[0]}}
    return {"name": one.header, "string_match": {"safe_regex": {"regex": values}}}


def _keep(action: MutableMapping[str, Any], sticky: Sticky | None, where: str) -> list[str]:
    if sticky is None:
        return []
    if field(action, "hash_policy"):
        raise RouteRejected(f"{where}: has a hash_policy of its own: remove it, or leave out route.sticky")
    kind = {"header": {"header_name": sticky.header}} if sticky.header else {"cookie": {"name": sticky.cookie}}
    action["hash_policy"] = [_quoted(kind)]
    field(action, "weighted_clusters")["use_hash_policy"] = True
    return ["hash_policy", "use_hash_policy"]


def _copy(action: MutableMapping[str, Any], mirror: Mirror | None, where: str) -> list[str]:
    if mirror is None:
        return []
    if field(action, "request_mirror_policies"):
        raise RouteRejected(f"{where}: has request_mirror_policies of its own: remove them, or leave out route.mirror")
    share = {"numerator": round(mirror.percent * 100), "denominator": "TEN_THOUSAND"}
    action["request_mirror_policies"] = [
        {"cluster": _quoted(mirror.backend), "runtime_fraction": {"default_value": share}}
    ]
    return ["request_mirror_policies"]


def _mark(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    mark = (field(entry.get("metadata") or {}, "filter_metadata") or {}).get(MARK)
    return mark if isinstance(mark, Mapping) else {}


def _put_mark(entry: MutableMapping[str, Any], mark: dict[str, Any]) -> None:
    metadata = entry.setdefault("metadata", {})
    filters = field(metadata, "filter_metadata") or {}
    filters[MARK] = mark
    put(metadata, "filter_metadata", filters)


def _unmark(entry: MutableMapping[str, Any]) -> None:
    filters = field(entry["metadata"], "filter_metadata")
    del filters[MARK]
    if not filters:
        entry["metadata"].pop("filter_metadata", None)
        entry["metadata"].pop("filterMetadata", None)
    if not entry["metadata"]:
        del entry["metadata"]
