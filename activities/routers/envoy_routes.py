"""Envoy's RouteConfiguration as a mapping: which entries share traffic between which clusters, and changing that.

Works on what Envoy reads (file) and on what it shows (admin), so that both are understood alike. Field names may be
written ``snake_case`` or ``camelCase``: Envoy takes both.
Source: envoy.config.route.v3.RouteConfiguration, VirtualHost, RouteAction, WeightedCluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from activities.routers.splits import Split, Terms
from activities.routers.weights import TOTAL
from coalmine.errors import RouteRejected

RouteConfiguration = MutableMapping[str, Any]
ENVOY = Terms("cluster", "route.weighted_clusters (or route.cluster) of the entries whose traffic is to move")


def field(mapping: Mapping[str, Any], name: str) -> Any:
    """The value of a field in either spelling, None when it is not set."""
    return mapping.get(name, mapping.get(_camel(name)))


def put(mapping: MutableMapping[str, Any], name: str, value: Any) -> None:
    """Set a field in the spelling it has already."""
    mapping[_camel(name) if _camel(name) in mapping else name] = value


def splits(configuration: RouteConfiguration) -> list[Split]:
    """All entries that send traffic to clusters by name, in order.

    Raises:
        RouteRejected: an entry cannot be understood, or all its weights are zero.
    """
    found = [_split(where, action) for where, action in _actions(configuration)]
    return [split for split in found if split.shares]


def clusters_named(configuration: RouteConfiguration) -> set[str]:
    """Every cluster the configuration sends or mirrors traffic to: those Envoy validates."""
    named: set[str] = set()
    for _, action in _actions(configuration):
        named.update(cluster for cluster, _ in shares(action))
        for mirror in field(action, "request_mirror_policies") or []:
            named.update([mirror["cluster"]] if isinstance(mirror, Mapping) and mirror.get("cluster") else [])
    return named


def set_weights(configuration: RouteConfiguration, units: Mapping[str, int]) -> int:
    """Give every entry that names one of the clusters these units; returns how many entries those are.

    The order of clusters stays, because sticky users are dealt by it. A cluster without traffic stays only when the
    file says more of it than its weight: a route that still names a cluster is refused by a restarting Envoy once the
    cluster is gone.
    """
    changed = 0
    for action in _moved(configuration, units):
        named = [cluster for cluster, _ in shares(action)]
        changed += 1
        weighted = field(action, "weighted_clusters")
        if weighted is None:
            _replace_key(action, "cluster", "weighted_clusters", {"clusters": []})
            weighted = action["weighted_clusters"]
            named = []
        if field(weighted, "total_weight") is not None:
            put(weighted, "total_weight", TOTAL)
        clusters = weighted["clusters"]
        for index in reversed(range(len(clusters))):
            cluster = clusters[index]
            cluster["weight"] = units.get(cluster["name"], 0)
            if not cluster["weight"] and len(cluster) == 2:
                del clusters[index]
        for name, weight in units.items():
            if weight and name not in named:
                clusters.append({"name": name, "weight": weight})
    return changed


def parts_moved(configuration: RouteConfiguration, units: Mapping[str, int]) -> Iterator[Any]:
    """Every mapping and list of it that ``set_weights`` changes."""
    yield configuration
    for action in _moved(configuration, units):
        yield action
        if weighted := field(action, "weighted_clusters"):
            yield from (weighted, weighted["clusters"], *weighted["clusters"])


def _moved(configuration: RouteConfiguration, units: Mapping[str, int]) -> Iterator[MutableMapping[str, Any]]:
    for _, action in _actions(configuration):
        if {cluster for cluster, _ in shares(action)} & set(units):
            yield action


def _actions(configuration: RouteConfiguration) -> Iterator[tuple[str, MutableMapping[str, Any]]]:
    for host in field(configuration, "virtual_hosts") or []:
        for number, entry in enumerate(host.get("routes") or [], 1):
            action = entry.get("route")
            if isinstance(action, MutableMapping):
                name = f" ({entry['name']})" if entry.get("name") else ""
                yield f"virtual host {host.get('name', '?')!r}, route {number}{name}", action


def _split(where: str, action: Mapping[str, Any]) -> Split:
    try:
        found = tuple(shares(action))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise RouteRejected(f"{where}: its clusters and weights cannot be read ({error!r}): mend the file") from error
    if len(dict(found)) != len(found):
        raise RouteRejected(f"{where}: names a cluster twice: give each cluster one weight")
    if found and not sum(units for _, units in found):
        raise RouteRejected(f"{where}: all weights are zero, which Envoy refuses: give one cluster the traffic")
    weighted = field(action, "weighted_clusters")
    return Split(where, found, weighted is not None, field(weighted or {}, "runtime_key_prefix") or "")


def shares(action: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The clusters an action names, and the units of each; none when it names them another way."""
    weighted = field(action, "weighted_clusters")
    if weighted is not None:
        return [(str(cluster["name"]), int(cluster.get("weight") or 0)) for cluster in weighted["clusters"]]
    return [(str(action["cluster"]), TOTAL)] if action.get("cluster") else []


def _replace_key(mapping: MutableMapping[str, Any], old: str, new: str, value: Any) -> None:
    items = list(mapping.items())
    for key, _ in items:
        del mapping[key]
    for key, kept in items:
        mapping[new if key == old else key] = value if key == old else kept


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
